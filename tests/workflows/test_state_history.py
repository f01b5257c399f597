"""Looking back at a thread, writing to its state by hand, forking from an earlier checkpoint, starting a failed one again.

What LangGraph itself does with the same graph is the reference.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from perdure.client.client import ThreadBusy
from perdure.errors import RunFailed, StateUpdateRefused, ThreadNotFound
from perdure.testing import PerdureEnvironment


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def chain(*names: str) -> StateGraph[Any, Any, Any, Any]:
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    previous = START
    for name in names:
        builder.add_node(name, lambda _, name=name: {"log": [name]})
        builder.add_edge(previous, name)
        previous = name
    return builder


def asking() -> StateGraph[Any, Any, Any, Any]:
    builder = chain("a")

    def ask(state: State) -> dict[str, Any]:
        return {"log": [f"answer {interrupt(len(state['log']))}"]}

    builder.add_node("ask", ask)
    builder.add_node("end", lambda _: {"log": ["end"]})
    builder.add_edge("a", "ask")
    builder.add_edge("ask", "end")
    return builder


def counter() -> StateGraph[Any, Any, Any, Any]:
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    builder.add_node("count", lambda state: {"log": [str(len(state["log"]))]})
    builder.add_edge(START, "count")
    builder.add_conditional_edges("count", lambda state: "count" if len(state["log"]) < 30 else "__end__")
    return builder


def asked_in_a_subgraph() -> StateGraph[Any, Any, Any, Any]:
    inner = chain("first")
    inner.add_node("second", lambda _: {"log": [f"said {interrupt('what?')}"]})
    inner.add_edge("first", "second")
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    builder.add_node("inner", inner.compile())
    builder.add_edge(START, "inner")
    return builder


GRAPHS = {
    "chain": chain("a", "b", "c"),
    "asking": asking(),
    "counter": counter(),
    "inner": asked_in_a_subgraph(),
}


@pytest.fixture
async def env() -> AsyncIterator[PerdureEnvironment]:
    async with PerdureEnvironment.start({name: builder.compile() for name, builder in GRAPHS.items()}) as env:
        yield env


class Native:
    """The same graph under LangGraph's own saver."""

    def __init__(self, name: str) -> None:
        self.graph = GRAPHS[name].compile(checkpointer=InMemorySaver())
        self.config: Any = {"configurable": {"thread_id": "t"}}

    async def run(self, value: Any, checkpoint_id: str | None = None) -> Any:
        own = {**self.config["configurable"], **({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}
        return await self.graph.ainvoke(value, {"configurable": own}, durability="sync")

    async def history(self) -> list[Any]:
        return [
            (s.values, list(s.next), s.metadata["step"], s.metadata["source"], _tasks(s.tasks))
            async for s in self.graph.aget_state_history(self.config)
        ]


async def history(run: Any, **options: Any) -> list[Any]:
    return [(s.values, s.next, s.step, s.source, _tasks(s.tasks)) async for s in run.history(**options)]


def _tasks(tasks: Any) -> list[Any]:
    return [(task.name, task.result, [item.value for item in task.interrupts]) for task in tasks]


async def checkpoint(run: Any, next: str) -> str:
    [found] = [s.checkpoint_id async for s in run.history() if s.next == [next]]
    return found


@pytest.mark.compat("Threads: state history, within a window that a setting says")
async def test_a_finished_thread_tells_the_history_that_langgraph_tells(env: PerdureEnvironment) -> None:
    run = await env.start("chain", {"log": ["in"]})
    await run.result()
    native = Native("chain")
    await native.run({"log": ["in"]})
    assert await history(run) == await native.history()


async def test_the_history_of_a_waiting_thread_shows_what_is_asked(env: PerdureEnvironment) -> None:
    run = await env.start("asking", {"log": []})
    await run.wait_for_approvals()
    native = Native("asking")
    await native.run({"log": []})
    told = await history(run)
    assert told == await native.history()
    assert told[0][4] == [("ask", None, [1])]


async def test_a_history_has_a_limit_a_bound_and_a_filter(env: PerdureEnvironment) -> None:
    run = await env.start("chain", {"log": []})
    await run.result()
    everything = [s async for s in run.history()]
    assert [s async for s in run.history(limit=2)] == everything[:2]
    assert [s async for s in run.history(before=everything[1].checkpoint_id)] == everything[2:]
    assert [s.source async for s in run.history(filter={"source": "input"})] == ["input"]
    assert [s.parent_id for s in everything[:-1]] == [s.checkpoint_id for s in everything[1:]]


async def test_the_window_bounds_the_history_and_survives_continuing_as_new(env: PerdureEnvironment) -> None:
    config = {"recursion_limit": 50}
    whole = await env.start("counter", {"log": []}, config=config)
    carried = await env.start("counter", {"log": []}, config=config, carry_every=3, keep_checkpoints=7)
    assert await whole.result() == await carried.result()
    told = await history(carried)
    assert len(told) == 7
    assert told == (await history(whole))[:7]


async def test_a_history_larger_than_one_answer_comes_in_pages(env: PerdureEnvironment) -> None:
    run = await env.start("chain", {"log": ["x" * 450_000]})
    await run.result()
    assert [s.step async for s in run.history()] == [3, 2, 1, 0, -1]


@pytest.mark.compat("Threads: forks from an earlier checkpoint")
async def test_an_open_thread_runs_again_from_an_earlier_checkpoint(env: PerdureEnvironment) -> None:
    run = await env.start("chain", {"log": ["in"]}, thread_id="fork", keep_open=True)
    await run.result()
    native = Native("chain")
    await native.run({"log": ["in"]})
    [there] = [s async for s in native.graph.aget_state_history(native.config) if s.next == ("c",)]

    again = await env.start(
        "chain", None, thread_id="fork", keep_open=True, checkpoint_id=await checkpoint(run, "c")
    )
    assert await again.result() == await native.run(None, there.config["configurable"]["checkpoint_id"])
    assert await history(again) == await native.history()


async def test_a_fork_of_an_interrupted_subgraph_asks_again(env: PerdureEnvironment) -> None:
    run = await env.start("inner", {"log": ["in"]}, thread_id="fork2", keep_open=True)
    await run.wait_for_approvals()
    there = await checkpoint(run, "inner")
    await run.resume("one")
    assert (await run.result())["log"] == ["in", "in", "first", "said one"]

    again = await env.start("inner", None, thread_id="fork2", keep_open=True, checkpoint_id=there)
    [pending] = await again.wait_for_approvals()
    await again.resume({pending.id: "two"})
    assert (await again.result())["log"] == ["in", "in", "first", "said two"]


async def test_a_state_written_by_hand_is_what_the_run_goes_on_with(env: PerdureEnvironment) -> None:
    run = await env.start("asking", {"log": []})
    await run.wait_for_approvals()
    await run.update_state({"log": ["by hand"]})
    native = Native("asking")
    await native.run({"log": []})
    await native.graph.aupdate_state(native.config, {"log": ["by hand"]})
    assert await history(run) == await native.history()

    # The question belongs to the state that it was asked in: it is asked anew.
    [stop] = (await run.state()).interrupts
    assert stop.value == {"breakpoint": ["ask"]}
    await run.resume(None)
    [pending] = await run.wait_for_approvals()
    assert pending.value == 2
    await run.resume({pending.id: "yes"})
    await native.run(None)
    assert await run.result() == await native.run(Command(resume="yes"))


@pytest.mark.compat("Threads: `update_state`, also as a node")
async def test_a_state_written_as_a_node_goes_on_after_that_node(env: PerdureEnvironment) -> None:
    run = await env.start("asking", {"log": []})
    await run.wait_for_approvals()
    await run.update_state({"log": ["in its place"]}, as_node="ask")
    assert (await run.state()).next == ("end",)
    await run.resume(None)
    assert (await run.result())["log"] == ["a", "in its place", "end"]


async def test_a_state_written_as_the_last_node_ends_the_run(env: PerdureEnvironment) -> None:
    run = await env.start("asking", {"log": []})
    await run.wait_for_approvals()
    await run.update_state({"log": ["the end"]}, as_node="end")
    assert (await run.result())["log"] == ["a", "the end"]


async def test_an_idle_thread_goes_on_from_a_state_written_by_hand(env: PerdureEnvironment) -> None:
    run = await env.start("chain", {"log": []}, thread_id="idle", keep_open=True)
    await run.result()
    await run.update_state({"log": ["again"]}, as_node="a")
    again = await env.start("chain", None, thread_id="idle", keep_open=True)
    assert (await again.result())["log"] == ["a", "b", "c", "again", "b", "c"]


@pytest.mark.compat(
    "`update_state` with values or a node that do not fit",
    status="refused",
    error="`StateUpdateRefused`, and nothing has changed",
)
async def test_an_update_that_does_not_fit_is_refused_and_changes_nothing(env: PerdureEnvironment) -> None:
    run = await env.start("asking", {"log": []})
    [pending] = await run.wait_for_approvals()
    before = await history(run)
    with pytest.raises(StateUpdateRefused, match="nobody"):
        await run.update_state({"log": ["x"]}, as_node="nobody")
    with pytest.raises(StateUpdateRefused):
        await run.update_state("not a mapping")
    assert await history(run) == before
    await run.resume({pending.id: "yes"})
    await run.result()
    with pytest.raises(StateUpdateRefused, match="closed"):
        await run.update_state({"log": ["x"]})


async def test_a_delta_channel_outlives_the_window() -> None:
    class Deltas(TypedDict):
        log: Annotated[list[str], DeltaChannel(lambda old, writes: [*old, *(w for ws in writes for w in ws)])]

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(Deltas)
    builder.add_node("count", lambda state: {"log": [str(len(state["log"]))]})
    builder.add_edge(START, "count")
    builder.add_conditional_edges("count", lambda state: "count" if len(state["log"]) % 8 else "__end__")
    async with PerdureEnvironment.start({"deltas": builder.compile()}) as env:
        for turn in (1, 2):
            run = await env.start(
                "deltas", {"log": ["in"]}, thread_id="t", keep_open=True, carry_every=3, keep_checkpoints=2
            )
            assert len((await run.result())["log"]) == 8 * turn


async def test_a_window_too_large_to_take_along_is_given_up_and_the_run_goes_on() -> None:
    class Big(TypedDict):
        text: str
        count: int

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(Big)
    builder.add_node(
        "work", lambda state: {"text": str(state["count"]) * 400_000, "count": state["count"] + 1}
    )
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", lambda state: "work" if state["count"] < 8 else "__end__")
    async with PerdureEnvironment.start({"big": builder.compile()}, payloads="none") as env:
        run = await env.start("big", {"text": "", "count": 0}, carry_every=3)
        assert (await run.result())["count"] == 8


async def test_a_result_is_told_to_who_waits_for_it_when_the_thread_continues_as_new(
    env: PerdureEnvironment,
) -> None:
    runs = [
        await env.start("chain", {"log": []}, thread_id="kept", keep_open=True, carry_every=1) for _ in "ab"
    ]
    first, second = await asyncio.gather(*(run.result() for run in runs))
    assert (len(first["log"]), len(second["log"])) == (3, 6)


async def test_a_result_has_the_output_schema_alone() -> None:
    class Output(TypedDict):
        answer: str

    class Both(Output):
        question: str

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(Both, output_schema=Output)
    builder.add_node("say", lambda _: {"answer": "yes"})
    builder.add_edge(START, "say")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"question": "?"})
        assert await run.result() == {"answer": "yes"}
        assert (await run.state()).values == {"question": "?", "answer": "yes"}


class Flaky:
    def __init__(self) -> None:
        self.broken = True
        self.calls: list[str] = []

    def __call__(self, name: str) -> dict[str, Any]:
        self.calls.append(name)
        if name == "b" and self.broken:
            raise ValueError("broken")
        return {"log": [name]}


async def test_a_failed_thread_goes_on_from_its_last_finished_step() -> None:
    flaky = Flaky()
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    builder.add_node("a", lambda _: flaky("a"))
    builder.add_node("b", lambda _: flaky("b"))
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    async with PerdureEnvironment.start({"flaky": builder.compile()}) as env:
        run = await env.start("flaky", {"log": []}, thread_id="t")
        with pytest.raises(RunFailed, match="broken"):
            await run.result()
        flaky.broken = False
        assert (await (await env.perdure.retry("t")).result())["log"] == ["a", "b"]
        assert flaky.calls == ["a", "b", "b"]


async def test_a_closed_thread_is_started_again_from_an_earlier_checkpoint(env: PerdureEnvironment) -> None:
    run = await env.start("chain", {"log": []}, thread_id="closed")
    await run.result()
    again = await env.perdure.retry("closed", checkpoint_id=await checkpoint(run, "b"))
    assert (await again.result())["log"] == ["a", "b", "c"]
    assert [s.source async for s in again.history()][:3] == ["loop", "loop", "fork"]


@pytest.mark.compat(
    "`retry` of a thread that runs",
    status="refused",
    error="`ThreadBusy`",
)
async def test_a_running_or_unknown_thread_cannot_be_started_again(env: PerdureEnvironment) -> None:
    run = await env.start("asking", {"log": []}, thread_id="open")
    await run.wait_for_approvals()
    with pytest.raises(ThreadBusy, match="open"):
        await env.perdure.retry("open")
    with pytest.raises(ThreadNotFound):
        await env.perdure.retry("nobody")
    with pytest.raises(ThreadNotFound):
        [s async for s in env.perdure.history("nobody")]
