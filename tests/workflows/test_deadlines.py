"""The user walks away: runs have deadlines, questions too, and what was done is undone."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from perdure import effect
from perdure.contract.limits import FOR_EVER, RunLimits
from perdure.errors import RunFailed
from perdure.testing import PerdureEnvironment

_done: list[str] = []


class State(TypedDict, total=False):
    said: Annotated[list[Any], operator.add]


async def unbook(room: str) -> None:
    _done.append(f"unbooked {room}")


@effect(undo=unbook)
async def book(room: str) -> str:
    _done.append(f"booked {room}")
    return room


async def books(state: State) -> State:
    return {"said": [await book("12")]}


def asks(value: Any) -> Any:
    async def node(state: State) -> State:
        return {"said": [interrupt(value)]}

    return node


def graph_of(*nodes: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence([(str(number), node) for number, node in enumerate(nodes)])
    builder.add_edge(START, "0")
    return builder.compile()


async def failure(graph: Any, **options: Any) -> RunFailed:
    environment = {"carry_every": options.pop("carry_every", 0)}
    _done.clear()
    async with PerdureEnvironment.start({"g": graph}, **environment) as env:
        run = await env.start("g", {"said": []}, **options)
        with pytest.raises(RunFailed) as caught:
            await run.result()
    return caught.value


@pytest.mark.parametrize("carry_every", [0, 1])
async def test_a_run_that_waits_beyond_its_deadline_fails_and_is_undone(carry_every: int) -> None:
    graph = graph_of(books, asks("well?"))
    error = await failure(graph, deadline=timedelta(hours=2), carry_every=carry_every)
    assert error.cause_type == "RunExpired"
    assert "within 2:00:00" in str(error)
    assert _done == ["booked 12", "unbooked 12"]


async def test_the_deadline_cuts_what_is_being_done() -> None:
    cancelled = asyncio.Event()

    async def hangs(state: State) -> State:
        try:
            await asyncio.sleep(120)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    async with PerdureEnvironment.start({"g": graph_of(hangs)}, time_skipping=False) as env:
        run = await env.start("g", {}, deadline=timedelta(seconds=1))
        with pytest.raises(RunFailed) as caught:
            await run.result()
        assert caught.value.cause_type == "RunExpired"
        await asyncio.wait_for(cancelled.wait(), 30)


async def test_a_thread_that_stays_open_lives_on_after_a_run_has_expired() -> None:
    async with PerdureEnvironment.start({"g": graph_of(asks("well?"))}, time_skipping=False) as env:
        options: dict[str, Any] = {"thread_id": "t", "keep_open": True}
        run = await env.start("g", {}, deadline=timedelta(seconds=0.5), **options)
        with pytest.raises(RunFailed) as caught:
            await run.result()
        assert caught.value.cause_type == "RunExpired"
        run = await env.start("g", {"said": ["more"]}, **options)
        [item] = await run.wait_for_approvals()
        await run.resume({item.id: "yes"})
        assert (await run.result())["said"] == ["more", "yes"]


@pytest.mark.parametrize("carry_every", [0, 1])
async def test_a_question_that_nobody_answers_fails_the_run(carry_every: int) -> None:
    graph = graph_of(books, asks("well?"))
    error = await failure(graph, approval_timeout=timedelta(hours=1), carry_every=carry_every)
    assert error.cause_type == "ApprovalExpired"
    assert "node '1' asked within 1:00:00" in str(error)
    assert _done == ["booked 12", "unbooked 12"]


async def test_a_questions_own_deadline_goes_before_the_default() -> None:
    question = {"expires_in": 60, "on_expiry": "nobody there"}
    async with PerdureEnvironment.start({"g": graph_of(asks(question))}) as env:
        run = await env.start("g", {"said": []}, approval_timeout=timedelta(seconds=1))
        assert (await run.result())["said"] == ["nobody there"]


async def test_a_question_may_wait_for_ever() -> None:
    graph = graph_of(asks({"question": "well?", "expires_in": None}))
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"said": []}, approval_timeout=timedelta(seconds=1))
        [item] = await run.wait_for_approvals()
        assert item.expires_at is None
        await env.advance(timedelta(days=400))
        await run.resume({item.id: "at last"})
        assert (await run.result())["said"] == ["at last"]


async def test_an_unanswered_question_about_the_budget_stops_the_run() -> None:
    from langchain_core.messages import AIMessage

    from perdure import Budget
    from perdure.testing import ScriptedChatModel

    model = ScriptedChatModel([AIMessage("a"), AIMessage("b")])

    async def node(state: State) -> State:
        return {"said": [(await model.ainvoke(str(n))).text for n in range(2)]}

    budget = Budget(model_calls=1, on_exhausted="ask")
    error = await failure(graph_of(node), budget=budget, approval_timeout=timedelta(hours=1))
    assert error.cause_type == "BudgetExhausted"


def test_limits_say_what_nobody_else_said() -> None:
    project = RunLimits(deadline=timedelta(days=1), approval_timeout=timedelta(hours=1))
    merged = project.overridden(RunLimits(deadline=timedelta(hours=3)))
    assert merged == RunLimits(deadline=timedelta(hours=3), approval_timeout=timedelta(hours=1))
    assert RunLimits().overridden(RunLimits()).approval_timeout == timedelta(days=30)
    for_ever = project.overridden(RunLimits(approval_timeout=FOR_EVER))
    assert for_ever.approval_timeout == FOR_EVER


@pytest.mark.parametrize("wrong", [{"deadline": timedelta(0)}, {"approval_timeout": 5}], ids=str)
def test_times_that_could_never_work_are_refused(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RunLimits(**wrong)
