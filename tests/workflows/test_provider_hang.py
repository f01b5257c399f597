"""Calls that hang: cancelling a run ends them, a limit cuts them, a worker that stops hands them over."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from temporalio.common import RetryPolicy
from typing_extensions import TypedDict

from perdure import durable
from perdure.cli.story import Story
from perdure.errors import RunCancelled, RunFailed
from perdure.testing import PerdureEnvironment
from perdure.testing.providers import Call, FakeAnthropic, FakeOpenAI, Stall, Status, ToolCall

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONCE_MORE = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=2)


class State(TypedDict):
    text: str


class Hanging:
    """Providers, and graphs that ask them on a real server."""

    def __init__(self) -> None:
        self.anthropic = FakeAnthropic()
        self.openai = FakeOpenAI()
        self.sleeper = threading.Event()
        self.env: PerdureEnvironment

    def graphs(self) -> dict[str, Any]:
        streamed = ChatAnthropic(model="claude-sonnet-5", streaming=True, **self.anthropic.options)
        whole = ChatOpenAI(model="gpt-4.1", **self.openai.options)
        limit = durable(timeout=timedelta(seconds=1), retry=ONCE_MORE)

        @tool
        def sleep_long() -> str:
            """Sleeps until the test ends, the first time."""
            return "woken" if self.sleeper.is_set() else str(self.sleeper.wait(60))

        return {
            "streamed": asking(streamed),
            "whole": asking(whole),
            "limited": asking(streamed, metadata=limit),
            "agent": create_agent(whole, [sleep_long]),
            "tool": asking(sleep_long, {}, metadata=limit),
        }

    async def until(self, provider: Any, condition: Callable[[list[Call]], bool]) -> None:
        await asyncio.to_thread(provider.wait_until, condition)


def asking(runnable: Any, what: Any = "hi", **options: Any) -> Any:
    async def ask(state: State) -> dict[str, str]:
        answer = await runnable.ainvoke(what)
        return {"text": getattr(answer, "text", answer)}

    builder = StateGraph(State)
    builder.add_node("ask", ask, **options)
    builder.add_edge(START, "ask")
    return builder.compile()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hanging() -> AsyncIterator[Hanging]:
    hanging = Hanging()
    with hanging.anthropic, hanging.openai:
        async with PerdureEnvironment.start(hanging.graphs(), time_skipping=False) as env:
            hanging.env = env
            yield hanging
        hanging.sleeper.set()


@pytest.mark.parametrize("graph", ["streamed", "whole", "agent"])
@pytest.mark.parametrize("after", [None, 4])
async def test_cancelling_a_run_hangs_up_on_the_provider(
    hanging: Hanging, graph: str, after: int | None, record_property: Callable[[str, object], None]
) -> None:
    provider = hanging.anthropic if graph == "streamed" else hanging.openai
    provider.play([Stall(after=after)])
    given = {"messages": [("user", "hi")]} if graph == "agent" else {"text": ""}
    run = await hanging.env.start(graph, given)
    await hanging.until(provider, lambda calls: len(calls) == 1)
    before = time.monotonic()
    await run.cancel()
    await hanging.until(provider, lambda calls: calls[0].hung_up)
    seconds = time.monotonic() - before
    record_property("seconds", seconds)
    print(f"{graph}: hung up {seconds:.2f} s after the cancellation")
    with pytest.raises(RunCancelled):
        await run.result()
    assert len(provider.calls) == 1


async def test_a_limit_for_the_attempt_cuts_a_call_that_hangs(hanging: Hanging) -> None:
    hanging.anthropic.play([Stall(after=2), "there"])
    run = await hanging.env.start("limited", {"text": ""})
    assert await run.result() == {"text": "there"}
    await hanging.until(hanging.anthropic, lambda calls: calls[0].hung_up)
    assert len(hanging.anthropic.calls) == 2


async def test_a_limit_for_the_attempt_bounds_a_sync_tool_too(hanging: Hanging) -> None:
    hanging.sleeper.clear()
    run = await hanging.env.start("tool", {"text": ""})
    asyncio.get_running_loop().call_later(1.5, hanging.sleeper.set)
    assert (await run.result())["text"] in ("woken", "True")


async def test_cancelling_a_run_does_not_wait_for_a_sync_tool(hanging: Hanging) -> None:
    hanging.sleeper.clear()
    hanging.openai.play([[ToolCall("sleep_long")], "never"])
    run = await hanging.env.start("agent", {"messages": [("user", "hi")]})
    await hanging.until(hanging.openai, lambda calls: bool(calls) and calls[0].done)
    async with asyncio.timeout(60):
        await run.cancel()
        with pytest.raises(RunCancelled):
            await run.result()
    assert not hanging.sleeper.is_set()
    hanging.sleeper.set()
    assert len(hanging.openai.calls) == 1


async def test_a_worker_that_stops_hands_its_call_over_and_no_attempt_is_lost(hanging: Hanging) -> None:
    hanging.anthropic.play([Status(503), Stall(after=2), "there"])
    graph = asking(
        ChatAnthropic(model="claude-sonnet-5", streaming=True, **hanging.anthropic.options),
        metadata=durable(retry=ONCE_MORE),
    )
    async with PerdureEnvironment.start({"g": graph}, time_skipping=False, worker=False) as env:
        async with env.worker():
            run = await env.start("g", {"text": ""})
            await hanging.until(hanging.anthropic, lambda calls: len(calls) == 2)
        await hanging.until(hanging.anthropic, lambda calls: calls[1].hung_up)
        async with env.worker():
            assert await run.result() == {"text": "there"}
        story = Story()
        async for event in run.handle.fetch_history_events():
            story.apply(event)
    assert (story.steps[0].attempts, story.steps[0].failures) == (3, ["overloaded", "worker_shutdown"])


async def test_a_call_that_hangs_every_time_is_tried_as_often_as_declared(hanging: Hanging) -> None:
    hanging.anthropic.play([Stall()] * 9)
    run = await hanging.env.start("limited", {"text": ""})
    with pytest.raises(RunFailed, match="no answer within its start_to_close limit of 0:00:01") as caught:
        await run.result()
    assert (caught.value.cause_type, caught.value.details["attempts"]) == ("TimeoutError", 2)
    assert len(hanging.anthropic.calls) == 2
