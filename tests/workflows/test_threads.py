"""Threads: several runs on one, continue-as-new with everything that must survive it, cancellation, bad starts."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from temporalio.client import WorkflowExecutionStatus
from typing_extensions import TypedDict

from perdure.client.client import ThreadBusy
from perdure.errors import RunCancelled, RunFailed, ThreadNotFound
from perdure.testing import PerdureEnvironment


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


def chat() -> Any:
    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"{len(state['messages'])}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    return builder.compile()


def loop(limit: int) -> Any:
    def work(state: State) -> dict[str, Any]:
        return {"log": [len(state["log"])]}

    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", lambda state: "work" if len(state["log"]) < limit else "__end__")
    return builder.compile()


async def runs_of(env: PerdureEnvironment, thread_id: str) -> int:
    """How many workflow runs a thread took, by following its history backwards."""
    count, run_id = 1, None
    while True:
        history = await env.client.get_workflow_handle(thread_id, run_id=run_id).fetch_history()
        run_id = (
            history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id or None
        )
        if run_id is None:
            return count
        count += 1


@pytest.mark.compat("Threads: several runs that go on from one state")
async def test_a_kept_thread_remembers_its_earlier_runs() -> None:
    async with PerdureEnvironment.start({"chat": chat()}) as env:
        for turn in range(3):
            run = await env.start("chat", {"messages": [("user", "hi")]}, thread_id="t", keep_open=True)
            messages = (await run.result())["messages"]
            assert len(messages) == 2 * (turn + 1)
            assert messages[-1].content == str(2 * turn + 1)
        assert (await run.state()).status == "idle"


async def test_runs_of_one_thread_are_worked_off_in_order() -> None:
    async with PerdureEnvironment.start({"chat": chat()}, time_skipping=False) as env:
        first, second = [
            await env.start("chat", {"messages": [("user", text)]}, thread_id="t", keep_open=True)
            for text in "ab"
        ]
        assert [m.content for m in (await second.result())["messages"]] == ["a", "1", "b", "3"]
        assert [m.content for m in (await first.result())["messages"]] == ["a", "1"]


async def test_a_failed_run_leaves_the_thread_usable() -> None:
    def fail(state: State) -> dict[str, Any]:
        if state["log"][-1] == "bad":
            raise ValueError("bad input")
        return {"log": ["ok"]}

    builder = StateGraph(State)
    builder.add_node("fail", fail)
    builder.add_edge(START, "fail")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"log": ["bad"]}, thread_id="t", keep_open=True)
        with pytest.raises(RunFailed, match="ValueError: bad input"):
            await run.result()
        run = await env.start("g", {"log": ["good"]}, thread_id="t", keep_open=True)
        assert (await run.result())["log"] == ["bad", "good", "ok"]


async def test_cancelling_a_run_keeps_its_thread() -> None:
    async def node(state: State) -> dict[str, Any]:
        if state["log"][-1] == "wait":
            await asyncio.sleep(60)
        return {"log": ["done"]}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"log": ["wait"]}, thread_id="t", keep_open=True)
        await run.cancel()
        with pytest.raises(RunCancelled):
            await run.result()
        run = await env.start("g", {"log": ["go"]}, thread_id="t", keep_open=True)
        assert (await run.result())["log"] == ["wait", "go", "done"]


async def test_a_one_shot_thread_takes_one_run_at_a_time_and_its_id_can_be_used_again() -> None:
    builder = StateGraph(State)
    builder.add_node("ask", lambda state: {"log": [interrupt("?")]})
    builder.add_edge(START, "ask")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"log": []}, thread_id="t")
        with pytest.raises(ThreadBusy, match="'t'"):
            await env.start("g", {"log": []}, thread_id="t")
        await run.wait_for_approvals()
        await run.resume(1)
        assert await run.result() == {"log": [1]}
        again = await env.start("g", {"log": []}, thread_id="t")
        await again.wait_for_approvals()
        await again.resume(2)
        assert await again.result() == {"log": [2]}


@pytest.mark.parametrize("carry_every", [1, 7])
async def test_a_run_continues_as_new_in_its_middle(carry_every: int) -> None:
    async with PerdureEnvironment.start({"g": loop(20)}, carry_every=carry_every) as env:
        run = await env.start("g", {"log": []}, thread_id="t")
        assert await run.result() == {"log": list(range(20))}
        assert await runs_of(env, "t") > 20 // (carry_every + 1)


@pytest.mark.compat("Threads: runs of any length: they continue as new between steps")
async def test_continue_as_new_keeps_sends_subgraphs_interrupts_and_their_answers() -> None:
    def plan(state: State) -> Command[Any]:
        return Command(update={"log": ["plan"]}, goto=[Send("ask", {"who": who}) for who in ("a", "b")])

    def ask(state: dict[str, Any]) -> dict[str, Any]:
        return {"log": [f"{state['who']}: {interrupt(state['who'])} {interrupt('sure, ' + state['who'])}"]}

    inner = StateGraph(State)
    inner.add_node("one", lambda state: {"log": ["one"]})
    inner.add_node("two", lambda state: {"log": [interrupt("inner")]})
    inner.add_edge(START, "one")
    inner.add_edge("one", "two")
    builder = StateGraph(State)
    builder.add_node("plan", plan, destinations=("ask",))
    builder.add_node("ask", ask)
    builder.add_node("sub", inner.compile(), input_schema=State)
    builder.add_edge(START, "plan")
    builder.add_edge("ask", "sub")
    results = []
    for carry_every in (0, 1):
        # The time-skipping server may lose the task of an answer that arrives while its thread continues as new.
        async with PerdureEnvironment.start(
            {"g": builder.compile()}, carry_every=carry_every, time_skipping=False
        ) as env:
            run = await env.start("g", {"log": []}, thread_id="t")
            answered: set[str] = set()
            while len(answered) < 5:
                for item in await run.wait_for_approvals():
                    if item.id not in answered:
                        await run.resume({item.id: f"yes {item.value}"})
                        answered.add(item.id)
                        break
            results.append(await run.result())
    assert results[0] == results[1]
    assert results[0]["log"][1:3] == ["a: yes a yes sure, a", "b: yes b yes sure, b"]


async def test_a_kept_thread_carries_its_memory_over() -> None:
    async with PerdureEnvironment.start({"chat": chat()}, carry_every=1, time_skipping=False) as env:
        for turn in range(3):
            run = await env.start("chat", {"messages": [("user", "hi")]}, thread_id="t", keep_open=True)
            assert len((await run.result())["messages"]) == 2 * (turn + 1)
        assert await runs_of(env, "t") >= 3


async def test_an_unknown_graph_fails_the_run_and_holds_nothing() -> None:
    async with PerdureEnvironment.start({"g": loop(1)}) as env:
        run = await env.start("nope", {"log": []})
        with pytest.raises(RunFailed, match="no graph 'nope' here; registered: g"):
            await run.result()
        assert (await run.handle.describe()).status == WorkflowExecutionStatus.FAILED


async def test_an_unknown_thread_is_said_to_be_unknown() -> None:
    async with PerdureEnvironment.start({"g": loop(1)}) as env:
        with pytest.raises(ThreadNotFound, match="'nobody'"):
            await env.perdure.state("nobody")


async def test_more_than_ten_may_wait_for_one_thread() -> None:
    async def pause(state: State) -> dict[str, Any]:
        await asyncio.sleep(1.5)
        return {"log": ["done"]}

    graph = StateGraph(State).add_node("pause", pause).add_edge(START, "pause").compile()
    async with PerdureEnvironment.start({"g": graph}, time_skipping=False) as env:
        run = await env.start("g", {"log": []}, thread_id="many", keep_open=True)
        waiting = [asyncio.create_task(run.result()) for _ in range(15)]
        await asyncio.sleep(0.5)  # they fill what Temporal takes
        more = await env.start("g", {"log": []}, thread_id="many", keep_open=True)
        assert await asyncio.gather(*waiting) == [{"log": ["done"]}] * 15
        assert await more.result() == {"log": ["done", "done"]}
        await env.start("g", {"log": []}, thread_id="once")
        with pytest.raises(ThreadBusy, match="ends with the run"):
            await env.start("g", {"log": []}, thread_id="once", keep_open=True)
