"""`interrupt()` and its answers: by id, by value, several, in parallel, in subgraphs, with deadlines."""

from __future__ import annotations

import operator
from datetime import timedelta
from typing import Annotated, Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from perdure.errors import InterruptUnknown
from perdure.testing import PerdureEnvironment


class State(TypedDict):
    answers: Annotated[list[Any], operator.add]


def asking(*questions: Any, name: str = "ask"):
    def node(state: State) -> dict[str, Any]:
        return {"answers": [interrupt(question) for question in questions]}

    node.__name__ = name
    return node


def graph_of(*nodes: Any, **compile_options: Any):
    builder = StateGraph(State)
    for node in nodes:
        builder.add_node(node.__name__, node)
        builder.add_edge(START, node.__name__)
    return builder.compile(**compile_options)


@pytest.mark.compat("Interrupts: several in one node, in parallel branches; answers by id and by value")
async def test_two_interrupts_in_one_node_get_an_answer_each() -> None:
    async with PerdureEnvironment.start({"g": graph_of(asking("first?", "second?"))}) as env:
        run = await env.start("g", {"answers": []})
        [first] = await run.wait_for_approvals()
        assert (first.value, first.node) == ("first?", "ask")
        await run.resume({first.id: "one"})
        [second] = await run.wait_for_approvals()
        while second.id == first.id:
            [second] = await run.wait_for_approvals()
        assert second.value == "second?"
        await run.resume("two")
        assert await run.result() == {"answers": ["one", "two"]}


@pytest.mark.compat("Interrupts: several in one node, in parallel branches; answers by id and by value")
async def test_parallel_interrupts_are_answered_by_id_in_any_order() -> None:
    graph = graph_of(asking("a?", name="a"), asking("b?", name="b"))
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"answers": []})
        items = {item.node: item for item in await run.wait_for_approvals()}
        assert set(items) == {"a", "b"}
        with pytest.raises(InterruptUnknown, match="2 interrupts wait"):
            await run.resume("for whom?")
        await run.resume({items["b"].id: "B"})
        await run.resume({items["a"].id: "A"})
        assert await run.result() == {"answers": ["A", "B"]}


@pytest.mark.compat(
    "an answer to what does not wait (any more)",
    status="refused",
    error="`InterruptUnknown`, naming what does wait",
)
async def test_an_unknown_or_used_id_is_refused_and_leaves_no_trace() -> None:
    async with PerdureEnvironment.start({"g": graph_of(asking("first?", "second?"))}) as env:
        run = await env.start("g", {"answers": []})
        [first] = await run.wait_for_approvals()
        with pytest.raises(InterruptUnknown, match="0000"):
            await run.resume({"0" * 32: "x"})
        await run.resume({first.id: "one"})
        with pytest.raises(InterruptUnknown):
            await run.resume({first.id: "again"})
        while [item.id for item in await run.wait_for_approvals()] == [first.id]:
            pass
        await run.resume("two")
        assert await run.result() == {"answers": ["one", "two"]}
        with pytest.raises(InterruptUnknown, match="does not run"):
            await run.resume({first.id: "late"})
        events = [event async for event in run.handle.fetch_history_events()]
        accepted = [e for e in events if e.HasField("workflow_execution_update_accepted_event_attributes")]
        assert len(accepted) == 2


@pytest.mark.compat("Interrupts: the same ids at every replay")
async def test_interrupt_ids_do_not_change_on_replay() -> None:
    async with PerdureEnvironment.start({"g": graph_of(asking("?"))}) as env:
        run = await env.start("g", {"answers": []})
        ids = {(await run.wait_for_approvals())[0].id for _ in range(3)}
        assert len(ids) == 1
        await run.resume({ids.pop(): 1})
        assert await run.result() == {"answers": [1]}


@pytest.mark.parametrize("depth", ["node", "called"])
async def test_an_interrupt_in_a_subgraph_resumes_inside_it(depth: str) -> None:
    calls: list[str] = []

    def before(state: State) -> dict[str, Any]:
        calls.append("before")
        return {"answers": ["before"]}

    inner = StateGraph(State)
    inner.add_node("before", before)
    inner.add_node("ask", asking("inside?"))
    inner.add_edge(START, "before")
    inner.add_edge("before", "ask")
    subgraph = inner.compile()

    async def call(state: State) -> dict[str, Any]:
        result = await subgraph.ainvoke({"answers": []})
        return {"answers": result["answers"]}

    outer = StateGraph(State)
    outer.add_node("sub", subgraph if depth == "node" else call)
    outer.add_edge(START, "sub")
    async with PerdureEnvironment.start({"g": outer.compile()}) as env:
        run = await env.start("g", {"answers": []})
        [item] = await run.wait_for_approvals()
        assert item.value == "inside?"
        await run.resume({item.id: "yes"})
        result = await run.result()
    assert result["answers"][-2:] == ["before", "yes"]
    assert calls == ["before"]


@pytest.mark.compat(
    "an `interrupt()` value with `expires_in`",
    status="differs",
    how="is answered with its `on_expiry` when the time is over",
    why="LangGraph has no deadlines",
)
async def test_a_deadline_answers_in_the_humans_place() -> None:
    question = {"question": "ok?", "expires_in": 24 * 3600, "on_expiry": {"type": "expired"}}
    async with PerdureEnvironment.start({"g": graph_of(asking(question))}) as env:
        run = await env.start("g", {"answers": []})
        [item] = await run.wait_for_approvals()
        assert item.expires_at == pytest.approx(item.created_at + 24 * 3600)
        await env.advance(timedelta(hours=23))
        assert (await run.state()).interrupts == (item,)
        await env.advance(timedelta(hours=2))
        assert await run.result() == {"answers": [{"type": "expired"}]}


async def test_a_decision_just_before_the_deadline_counts() -> None:
    question = {"question": "ok?", "expires_in": 24 * 3600}
    async with PerdureEnvironment.start({"g": graph_of(asking(question))}) as env:
        run = await env.start("g", {"answers": []})
        [item] = await run.wait_for_approvals()
        await env.advance(timedelta(hours=23))
        await run.resume({item.id: "yes"})
        assert await run.result() == {"answers": ["yes"]}


@pytest.mark.compat("Interrupts: `interrupt_before`, `interrupt_after`")
async def test_interrupt_before_stops_and_any_answer_goes_on() -> None:
    def work(state: State) -> dict[str, Any]:
        return {"answers": ["worked"]}

    async with PerdureEnvironment.start({"g": graph_of(work, interrupt_before=["work"])}) as env:
        run = await env.start("g", {"answers": []})
        [stop] = await run.wait_for_approvals()
        assert stop.value == {"breakpoint": ["work"]}
        assert (await run.state()).next == ("work",)
        await run.resume({stop.id: None})
        assert await run.result() == {"answers": ["worked"]}


async def test_state_shows_values_next_and_interrupts() -> None:
    async with PerdureEnvironment.start({"g": graph_of(asking("?"))}) as env:
        run = await env.start("g", {"answers": ["given"]}, thread_id="t-1")
        [item] = await run.wait_for_approvals()
        state = await run.state()
        assert state.values == {"answers": ["given"]}
        assert (state.next, state.status, state.interrupts) == (("ask",), "interrupted", (item,))
        await run.resume("done")
        await run.result()
        state = await run.state()
        assert (state.next, state.status, state.interrupts) == ((), "completed", ())
        assert state.values == {"answers": ["given", "done"]}
        assert run.thread_id == "t-1"
