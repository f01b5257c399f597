"""A chain of models: the next is asked when one cannot answer now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from temporalio.common import RetryPolicy
from typing_extensions import TypedDict

from perdure import durable, fallback
from perdure.activities.breakers import Breakers, breakers
from perdure.errors import RunFailed
from perdure.testing import PerdureEnvironment, ScriptedChatModel


class State(TypedDict, total=False):
    said: list[str]


class Named(ScriptedChatModel):
    model_name: str = ""


class Status(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


def named(name: str, *script: Any) -> Named:
    return Named(list(script), model_name=name)


async def by_invoke(model: Any) -> str:
    return str((await asyncio.to_thread(model.invoke, "hello")).text)


async def by_ainvoke(model: Any) -> str:
    return str((await model.ainvoke("hello")).text)


async def by_stream(model: Any) -> str:
    return "".join(chunk.text for chunk in model.stream("hello"))


async def by_astream(model: Any) -> str:
    return "".join([chunk.text async for chunk in model.astream("hello")])


WAYS: list[Callable[[Any], Any]] = [by_invoke, by_ainvoke, by_stream, by_astream]


@pytest.mark.parametrize("ask", WAYS)
@pytest.mark.parametrize(
    "error", [Status(503), Status(429), ConnectionError(), TimeoutError(), Status(402)], ids=repr
)
async def test_the_next_is_asked_when_one_cannot_answer_now(ask: Any, error: Exception) -> None:
    first, second, third = named("a", error), named("b", error), named("c", "three words here")
    assert await ask(fallback([first, second, third])) == "three words here"
    assert [model.call_count for model in (first, second, third)] == [1, 1, 1]


@pytest.mark.parametrize("ask", WAYS)
async def test_a_refused_request_is_not_put_to_the_next(ask: Any) -> None:
    second = named("b", "answer")
    with pytest.raises(Status, match="400"):
        await ask(fallback([named("a", Status(400)), second]))
    assert second.call_count == 0


@pytest.mark.parametrize("ask", WAYS)
async def test_when_no_model_answers_all_failures_are_told(ask: Any) -> None:
    with pytest.raises(ExceptionGroup, match="status 503; Status: status 400") as caught:
        await ask(fallback([named("a", Status(503)), named("b", Status(400)), named("c", "never")]))
    assert [error.status_code for error in caught.value.exceptions] == [503, 400]  # type: ignore[attr-defined]


@pytest.fixture
def worker_breakers() -> Any:
    token = breakers.set(Breakers())
    yield
    breakers.reset(token)


async def test_a_model_that_fails_again_and_again_is_left_alone(worker_breakers: None) -> None:
    first = Named([Status(503)], loop=True, model_name="a")
    chain = fallback([first, Named(["yes"], loop=True, model_name="b")], failures=2)
    assert [await by_ainvoke(chain) for _ in range(5)] == ["yes"] * 5
    assert first.call_count == 2


async def test_after_a_time_one_call_is_made_to_see(worker_breakers: None) -> None:
    first = named("a", Status(503), Status(503), "well again", "still well")
    second = Named(["yes"], loop=True, model_name="b")
    soon = timedelta(milliseconds=1)
    chain = fallback([first, second], failures=1, open_for=soon)
    said: list[str] = []
    for _ in range(4):
        said.append(await by_ainvoke(chain))
        await asyncio.sleep(0.01)
    assert said == ["yes", "yes", "well again", "still well"]


async def test_while_one_call_sees_the_others_go_to_the_next(worker_breakers: None) -> None:
    kept = breakers.get()
    assert kept is not None
    moment = timedelta(microseconds=1)
    kept.tell("a", failed=True, most=1)
    await asyncio.sleep(0.001)
    assert [kept.admits("a", moment) for _ in range(3)] == [True, False, False]
    kept.leave("a")
    assert kept.admits("a", moment)
    kept.tell("a", failed=False, most=1)
    assert [kept.admits("a", moment) for _ in range(2)] == [True, True]


async def test_when_all_are_to_be_left_alone_all_are_tried(worker_breakers: None) -> None:
    chain = fallback([named("a", Status(503), "back")], failures=1, open_for=timedelta(hours=1))
    with pytest.raises(Status):
        await by_ainvoke(chain)
    assert await by_ainvoke(chain) == "back"


@tool
def search(query: str) -> str:
    """Search."""
    return f"found {query}"


async def test_an_agent_runs_on_a_chain_and_its_usage_tells_who_answered() -> None:
    first = Named([Status(529)], loop=True, model_name="gpt-4o")
    second = Named([{"tool": "search", "args": {"query": "x"}}, "done"], model_name="claude-sonnet-4-0")
    graph = create_agent(fallback([first, second], failures=1), [search])
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"messages": [("user", "x")]})
        assert (await run.result())["messages"][-1].text == "done"
        usage = (await run.state()).usage
    assert usage is not None
    models = usage["run"]["models"]
    assert models["gpt-4o"] == {"calls": 1}
    assert models["claude-sonnet-4-0"]["calls"] == 2
    assert (usage["run"]["model_calls"], usage["run"]["tool_calls"]) == (3, 1)
    assert second.calls[0].tool_names == ["search"]


@pytest.mark.parametrize("ask", [by_ainvoke, by_astream])
async def test_another_attempt_has_the_answer_of_whoever_gave_it(ask: Any) -> None:
    first = named("a", Status(503), "would answer now")
    second = named("b", "the answer")
    chain = fallback([first, second])
    failing = [ConnectionError("later")]

    async def node(state: State) -> State:
        said = [await ask(chain)]
        if failing:
            raise failing.pop()
        return {"said": said}

    retry = RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_attempts=3)
    builder = StateGraph(State)
    builder.add_node("node", node, metadata=durable(retry=retry))
    builder.add_edge(START, "node")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        assert (await (await env.start("g", {})).result())["said"] == ["the answer"]
    assert (first.call_count, second.call_count) == (1, 1)


async def test_a_node_whose_whole_chain_is_down_is_tried_again() -> None:
    chain = fallback([named("a", Status(503), Status(503)), named("b", Status(400), "at last")])

    async def node(state: State) -> State:
        return {"said": [await by_ainvoke(chain)]}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        assert (await (await env.start("g", {})).result())["said"] == ["at last"]


async def test_a_refused_request_fails_the_run_at_once() -> None:
    chain = fallback([named("a", Status(401)), named("b", "never")])

    async def node(state: State) -> State:
        return {"said": [await by_ainvoke(chain)]}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        with pytest.raises(RunFailed, match="401"):
            await (await env.start("g", {})).result()


def test_a_chain_that_could_never_work_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fallback([])
    with pytest.raises(TypeError, match="not str"):
        fallback(["gpt-4o"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="above zero"):
        fallback([named("a", AIMessage("x"))], failures=0)
