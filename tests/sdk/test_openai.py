"""`/v1/chat/completions` with OpenAI's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from langgraph_sdk import get_client
from openai import AsyncOpenAI
from sdk_auth import auth

from perdure.server.authentication import Authenticator

if TYPE_CHECKING:
    from sdk_stack import Stack

HI: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="any", timeout=60) as made:
        yield made


async def test_an_assistant_answers_as_a_model(client: AsyncOpenAI, stack: Stack) -> None:
    names = {model.id async for model in client.models.list()}
    assert {"chat", "asking", "told"} <= names
    assert (await client.models.retrieve("chat")).owned_by == "chat"
    answer = await client.chat.completions.create(
        model="chat", messages=[{"role": "system", "content": "be"}, *HI]
    )
    [choice] = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("you said: hi", "stop")
    assert answer.usage is not None
    extension: Any = answer.model_extra
    async with get_client(url=stack.url) as sdk:
        async with asyncio.timeout(30):
            while True:  # nothing is left of the thread
                try:
                    await sdk.threads.get(extension["perdure"]["thread_id"])
                except Exception:
                    break
                await asyncio.sleep(0.05)


async def test_the_text_comes_as_it_is_made(client: AsyncOpenAI) -> None:
    parts: list[str] = []
    options: Any = {"include_usage": True}
    stream = await client.chat.completions.create(
        model="chat", messages=HI, stream=True, stream_options=options
    )
    usages: list[Any] = []
    finishes: list[Any] = []
    async for chunk in stream:
        usages.append(chunk.usage)
        for choice in chunk.choices:
            parts.append(choice.delta.content or "")
            finishes.append(choice.finish_reason)
    assert "".join(parts) == "you said: hi"
    assert len([part for part in parts if part]) > 1
    assert finishes[-1] == "stop"
    assert usages[-1] is not None


async def test_a_call_that_is_tried_again_tells_its_text_once(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="flaky", messages=HI, stream=True)
    text = "".join([c.delta.content or "" async for chunk in stream for c in chunk.choices])
    assert text == "one two three"


async def test_a_message_that_no_model_made(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="told", messages=HI, stream=True)
    assert (
        "".join([c.delta.content or "" async for chunk in stream for c in chunk.choices])
        == "said without a model"
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_a_question_is_the_answer_until_it_is_answered(client: AsyncOpenAI, stream: bool) -> None:
    async def say(messages: Any, **perdure: Any) -> tuple[str, Any]:
        options: Any = {"extra_body": {"perdure": perdure}} if perdure else {}
        if not stream:
            answer = await client.chat.completions.create(model="counsel", messages=messages, **options)
            extra: Any = answer.model_extra
            return answer.choices[0].message.content or "", extra["perdure"]
        told = [
            c
            async for c in await client.chat.completions.create(
                model="counsel", messages=messages, stream=True, **options
            )
        ]
        last: Any = told[-1].model_extra
        return "".join(c.choices[0].delta.content or "" for c in told), last["perdure"]

    question, perdure = await say(HI)
    assert "what now?" in question
    [asked] = perdure["interrupts"]
    assert asked["value"] == "what now?"
    thread_id = perdure["thread_id"]
    answer, perdure = await say([{"role": "user", "content": "go"}], thread_id=thread_id)
    assert (answer, perdure["interrupts"]) == ("told go", [])
    # The thread has a name now, and stays: it asks again.
    question, _ = await say([*HI, {"role": "assistant", "content": "told go"}, *HI], thread_id=thread_id)
    assert "what now?" in question
    answer, _ = await say(HI, thread_id=thread_id, resume={"plan": 1})
    assert answer == "told {'plan': 1}"


async def test_langchain_takes_it_for_a_model(stack: Stack) -> None:
    model = ChatOpenAI(model="chat", base_url=f"{stack.url}/v1", api_key="any", max_retries=0)  # type: ignore[arg-type]
    assert (await model.ainvoke("hi")).text == "you said: hi"


async def test_what_does_not_fit_is_said_as_openai_says_it(client: AsyncOpenAI) -> None:
    cases: list[tuple[Any, type[openai.APIStatusError], str]] = [
        ({"model": "nothing"}, openai.NotFoundError, "nothing"),
        ({"messages": []}, openai.UnprocessableEntityError, "422"),
        ({"extra_body": {"perdure": {"resume": 1}}}, openai.BadRequestError, "thread_id"),
        ({"extra_body": {"perdure": {"thread_id": "nowhere", "resume": 1}}}, openai.ConflictError, "409"),
        ({"model": "failing"}, openai.InternalServerError, "no such customer"),
    ]
    for given, error, told in cases:
        with pytest.raises(error, match=told) as caught:
            await client.chat.completions.create(**{"model": "chat", "messages": HI, **given})
        assert caught.value.body
    stream = await client.chat.completions.create(model="failing", messages=HI, stream=True)
    with pytest.raises(openai.APIError, match="no such customer"):
        async for _ in stream:
            pass


async def test_it_is_guarded_like_the_rest(stack: Stack) -> None:
    with stack.serving(authenticator=Authenticator(auth)) as url:
        ann = AsyncOpenAI(base_url=f"{url}/v1", api_key="ann")
        bob = AsyncOpenAI(base_url=f"{url}/v1", api_key="bob")
        answer = await ann.chat.completions.create(model="counsel", messages=HI)
        extra: Any = answer.model_extra
        on_it: Any = {"perdure": {"thread_id": extra["perdure"]["thread_id"]}}
        with pytest.raises(openai.NotFoundError):
            await bob.chat.completions.create(model="counsel", messages=HI, extra_body=on_it)
        answered = await ann.chat.completions.create(model="counsel", messages=HI, extra_body=on_it)
        assert answered.choices[0].message.content == "told hi"
