"""A model that calls tools wrongly, through the real clients: it is told, it may put it right, and not for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from perdure.cli.story import Story
from perdure.errors import RunFailed
from perdure.testing import PerdureEnvironment
from perdure.testing.providers import FakeAnthropic, FakeOpenAI, Status, ToolCall

one_loop = pytest.mark.asyncio(loop_scope="module")


@tool
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


UNFIT = [ToolCall("add", {"a": "one", "b": 2})]
UNKNOWN = [ToolCall("subtract", {"a": 1, "b": 2})]
RIGHT = [ToolCall("add", {"a": 1, "b": 2})]
NO_JSON = [ToolCall("add", '{"a": 1, "b" 2}')]


@pytest.fixture(scope="module")
def claude() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as provider:
        yield provider


@pytest.fixture(scope="module")
def gpt() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def env(claude: FakeAnthropic, gpt: FakeOpenAI) -> AsyncIterator[PerdureEnvironment]:
    graphs = {
        "claude": create_agent(ChatAnthropic(model="claude-sonnet-5", **claude.options), [add]),
        "gpt": create_agent(ChatOpenAI(model="gpt-4.1", **gpt.options), [add]),
    }
    async with PerdureEnvironment.start(graphs) as env:
        yield env


async def messages_of(env: PerdureEnvironment, graph: str) -> list[Any]:
    run = await env.start(graph, {"messages": [("user", "1 + 2?")]})
    return (await run.result())["messages"]


@one_loop
@pytest.mark.parametrize("graph", ["claude", "gpt"])
@pytest.mark.parametrize(
    ("wrong", "told"), [(UNFIT, "Please fix the error"), (UNKNOWN, "not a valid tool, try one of [add]")]
)
async def test_the_model_is_told_and_puts_it_right(
    env: PerdureEnvironment, request: pytest.FixtureRequest, graph: str, wrong: Any, told: str
) -> None:
    provider = request.getfixturevalue(graph)
    provider.play([wrong, Status(503), RIGHT, "3"])
    messages = await messages_of(env, graph)
    answers = [message for message in messages if isinstance(message, ToolMessage)]
    assert [(told in answers[0].text, answers[0].status), answers[1].text] == [(True, "error"), "3"]
    assert messages[-1].text == "3"
    assert len(provider.calls) == 4


@one_loop
@pytest.mark.parametrize("wrong", [UNFIT, UNKNOWN])
async def test_it_is_not_told_for_ever(env: PerdureEnvironment, claude: FakeAnthropic, wrong: Any) -> None:
    claude.play([wrong] * 30)
    with pytest.raises(RunFailed, match="called tools wrongly 11 times in a row") as caught:
        await messages_of(env, "claude")
    assert (caught.value.cause_type, caught.value.node) == ("ToolCallsInvalid", "tools")
    assert len(claude.calls) == 11


@one_loop
async def test_a_right_call_between_wrong_ones_starts_the_count_anew(
    env: PerdureEnvironment, claude: FakeAnthropic
) -> None:
    claude.play([*[UNKNOWN] * 6, RIGHT, *[UNFIT] * 6, "3"])
    assert (await messages_of(env, "claude"))[-1].text == "3"


@one_loop
async def test_arguments_that_are_no_json_are_seen_in_the_history(
    env: PerdureEnvironment, gpt: FakeOpenAI
) -> None:
    gpt.play([NO_JSON])
    run = await env.start("gpt", {"messages": [("user", "1 + 2?")]})
    messages = (await run.result())["messages"]
    assert messages[-1].invalid_tool_calls  # LangChain's agent ends here, without an answer
    story = Story()
    async for event in run.handle.fetch_history_events():
        story.apply(event)
    assert story.steps[0].outputs == ["OutputCallInvalid"]


@one_loop
async def test_two_calls_with_one_id_both_run(env: PerdureEnvironment, claude: FakeAnthropic) -> None:
    twice = [ToolCall("add", {"a": 1, "b": 2}, id="same"), ToolCall("add", {"a": 3, "b": 4}, id="same")]
    claude.play([twice, "done"])
    messages = await messages_of(env, "claude")
    assert sorted(message.text for message in messages if isinstance(message, ToolMessage)) == ["3", "7"]


@one_loop
async def test_with_complete_answers_asked_for_it_is_asked_again(gpt: FakeOpenAI) -> None:
    agent = create_agent(ChatOpenAI(model="gpt-4.1", **gpt.options), [add])
    gpt.play([NO_JSON, RIGHT, "3"])
    async with PerdureEnvironment.start({"gpt": agent}, model_output="complete") as env:
        assert (await messages_of(env, "gpt"))[-1].text == "3"
    assert len(gpt.calls) == 3
