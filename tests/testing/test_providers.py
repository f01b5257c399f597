"""The fake providers through the real clients: every fault is what the client would see of a real provider."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from perdure.testing.providers import (
    Broken,
    Call,
    FakeAnthropic,
    FakeOpenAI,
    Reply,
    Reset,
    Stall,
    Status,
    ToolCall,
)


@tool
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


class Api:
    """One of the two APIs, streamed or not, with a provider that all tests of this file share."""

    def __init__(self, shared: FakeAnthropic | FakeOpenAI, *, streaming: bool) -> None:
        self.anthropic = isinstance(shared, FakeAnthropic)
        self.streaming = streaming
        self.shared = shared

    def provider(self, script: Any) -> FakeAnthropic | FakeOpenAI:
        self.shared.play(script)
        return self.shared

    def model(self, provider: FakeAnthropic | FakeOpenAI, **options: Any) -> Any:
        settings = {
            "max_retries": 0,
            "timeout": 20,
            "streaming": self.streaming,
            **provider.options,
            **options,
        }
        if self.anthropic:
            return ChatAnthropic(model="claude-sonnet-5", **settings)
        return ChatOpenAI(model="gpt-4.1", stream_usage=True, **settings)

    @property
    def errors(self) -> Any:
        return anthropic if self.anthropic else openai


@pytest.fixture(scope="module", params=["anthropic", "anthropic, streamed", "openai", "openai, streamed"])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    name, _, streamed = request.param.partition(", ")
    with FakeAnthropic() if name == "anthropic" else FakeOpenAI() as shared:
        yield Api(shared, streaming=bool(streamed))


def ask(api: Api, item: Any, *, text: str = "hi", **options: Any) -> tuple[AIMessage, Call]:
    provider = api.provider([item])
    answer = api.model(provider, **options).bind_tools([add]).invoke(text)
    provider.wait_until(lambda calls: calls[0].done)
    [call] = provider.calls
    return answer, call


def test_a_text_arrives_with_its_usage(api: Api) -> None:
    answer, call = ask(api, Reply("Hello, this is a longer text.", input_tokens=12, output_tokens=34))
    assert answer.text == "Hello, this is a longer text."
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == (12, 34)
    assert (call.number, call.streamed, call.paid, call.done) == (1, api.streaming, True, True)
    assert call.last_text == "hi"
    assert [sent["name" if api.anthropic else "type"] for sent in call.body["tools"]]


def test_tool_calls_arrive_with_their_arguments_and_ids(api: Api) -> None:
    calls = [ToolCall("add", {"a": 1, "b": 2}), ToolCall("nothing", {}, id="mine")]
    answer, _ = ask(api, calls)
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
        ("add", {"a": 1, "b": 2}),
        ("nothing", {}),
    ]
    assert answer.tool_calls[1]["id"] == "mine"
    assert answer.tool_calls[0]["id"] != "mine"


def test_two_tool_calls_may_have_one_id(api: Api) -> None:
    answer, _ = ask(
        api, [ToolCall("add", {"a": 1, "b": 2}, id="x"), ToolCall("add", {"a": 3, "b": 4}, id="x")]
    )
    assert [call["id"] for call in answer.tool_calls] == ["x", "x"]


@pytest.mark.parametrize(
    ("stop", "anthropic_reason", "openai_reason"),
    [
        ("max_tokens", "max_tokens", "length"),
        ("refusal", "refusal", "stop"),
        ("filtered", "refusal", "content_filter"),
    ],
)
def test_why_the_model_stopped_arrives(
    api: Api, stop: Any, anthropic_reason: str, openai_reason: str
) -> None:
    answer, _ = ask(api, Reply("I", stop=stop))
    if api.anthropic:
        assert answer.response_metadata["stop_reason"] == anthropic_reason
    else:
        assert answer.response_metadata["finish_reason"] == openai_reason


def test_an_empty_answer_and_a_very_long_one_arrive(api: Api) -> None:
    assert ask(api, Reply())[0].text == ""
    assert len(ask(api, Reply("x" * 300_000, chunk_chars=5_000))[0].text) == 300_000


def test_a_status_is_the_clients_error(api: Api) -> None:
    codes = [400, 401, 403, 404, 408, 409, 413, 429, 500, 503, 529]
    provider = api.provider(Status(code, retry_after="1.5", message="so it is") for code in codes)
    for code in codes:
        with pytest.raises(api.errors.APIStatusError, match="so it is") as caught:
            api.model(provider).invoke("hi")
        assert caught.value.status_code == code
        assert caught.value.response.headers["retry-after"] == "1.5"
    assert provider.paid == 0


@pytest.mark.parametrize("after", [None, 2])
def test_a_reset_breaks_the_connection(api: Api, after: int | None) -> None:
    provider = api.provider([Reset(after=after)])
    with pytest.raises(Exception, match=r"Connection error|reset") as caught:
        api.model(provider).invoke("hi")
    assert not isinstance(caught.value, api.errors.APIStatusError)
    assert provider.paid == (after is not None)


@pytest.mark.parametrize("after", [None, 2])
def test_a_stall_ends_when_the_client_gives_up(api: Api, after: int | None) -> None:
    provider = api.provider([Stall(after=after)])
    with pytest.raises(Exception, match=r"timed out"):
        api.model(provider, timeout=0.5).invoke("hi")
    provider.wait_until(lambda calls: calls[0].hung_up)


@pytest.mark.parametrize("kind", ["json", "error", "html"])
def test_a_broken_answer_is_no_answer(api: Api, kind: Any) -> None:
    provider = api.provider([Broken(kind)])
    with pytest.raises(Exception, match=r"."):
        api.model(provider).invoke("hi")


def test_a_slow_drip_still_arrives_whole(api: Api) -> None:
    assert ask(api, Reply("drop by drop", chunk_chars=4, pause=0.02))[0].text == "drop by drop"


def test_connections_are_refused_while_it_is_down(api: Api) -> None:
    provider = api.provider(["up again"])
    with provider.down(), pytest.raises(api.errors.APIConnectionError):
        api.model(provider).invoke("hi")
    assert api.model(provider).invoke("hi").text == "up again"


def test_faults_by_number_leave_the_script_alone_and_when_goes_by_what_is_said() -> None:
    with FakeAnthropic(["one", "two"], when={"Oslo": ["sunny"]}, faults={2: Status(503)}) as provider:
        model = Api(provider, streaming=False).model(provider)
        assert model.invoke("first").text == "one"
        with pytest.raises(anthropic.InternalServerError):
            model.invoke("second")
        assert model.invoke("weather in Oslo").text == "sunny"
        assert model.invoke("weather in Oslo").text == "two"
        with pytest.raises(anthropic.BadRequestError, match="no answer left"):
            model.invoke("third")
        assert [call.answer for call in provider.calls] == [
            Reply("one"),
            Status(503),
            Reply("sunny"),
            Reply("two"),
            None,
        ]


def test_a_script_may_be_a_function_of_the_call() -> None:
    with FakeOpenAI(lambda call: f"you said {call.last_text}") as provider:
        model = Api(provider, streaming=False).model(provider)
        assert model.invoke("a").text == "you said a"
        assert model.invoke("b").text == "you said b"


def test_a_function_that_fails_is_a_request_that_cannot_be_answered() -> None:
    def broken(call: Call) -> str:
        raise KeyError("no such page")

    with FakeOpenAI(broken) as provider, pytest.raises(openai.BadRequestError, match="no such page"):
        Api(provider, streaming=False).model(provider).invoke("a")


def test_what_is_no_item_is_refused() -> None:
    with pytest.raises(TypeError, match="is no item of a script"):
        FakeAnthropic([42])  # pyright: ignore[reportArgumentType]


def test_another_path_is_answered_with_what_there_is() -> None:
    with FakeOpenAI() as provider, pytest.raises(openai.NotFoundError, match="/v1/chat/completions"):
        openai.OpenAI(max_retries=0, **provider.options).responses.create(model="gpt-4.1", input="hi")


async def test_an_abandoned_call_is_seen_as_hung_up() -> None:
    with FakeAnthropic([Stall()]) as provider:
        task = asyncio.create_task(Api(provider, streaming=False).model(provider).ainvoke("hi"))
        await asyncio.to_thread(provider.wait_until, lambda calls: len(calls) == 1)
        task.cancel()
        await asyncio.to_thread(provider.wait_until, lambda calls: calls[0].hung_up)
