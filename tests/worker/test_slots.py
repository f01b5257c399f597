"""What a worker takes on at a time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from temporalio.worker import (
    PollerBehaviorSimpleMaximum,
    SlotReleaseContext,
    SlotReserveContext,
    WorkerConfig,
    WorkerTuner,
)
from typing_extensions import TypedDict

from perdure import effect
from perdure.activities.lending import Lending
from perdure.activities.tasks import calls_tasks
from perdure.testing import PerdureEnvironment
from perdure.worker import plugin
from perdure.worker.slots import ActivitySlots, WorkflowSlots, lend_slots


class State(TypedDict):
    text: str


@task
def shout(text: str) -> str:
    return text.upper()


@entrypoint()
def loud(text: str) -> str:
    return shout(text).result()


@effect
def send(text: str) -> str:
    return text


def _plain(state: State) -> dict[str, str]:
    return {"text": state["text"] + "!"}


def _asking_a_task(state: State) -> dict[str, str]:
    return {"text": shout(state["text"]).result()}


def _sending(state: State) -> dict[str, str]:
    return {"text": send(state["text"])}


def graph_of(node: Any) -> Any:
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile()


@pytest.mark.parametrize(
    ("graph", "calls"),
    [
        (graph_of(_plain), False),
        (graph_of(_asking_a_task), True),
        (loud, True),
        (graph_of(graph_of(_plain)), False),
        (graph_of(graph_of(_asking_a_task)), True),
    ],
)
def test_graphs_that_call_tasks_are_known(graph: Any, calls: bool) -> None:
    assert calls_tasks(graph) == calls


@pytest.mark.parametrize(("node", "may_wait"), [(_plain, False), (_asking_a_task, True), (_sending, True)])
async def test_attempts_are_counted_by_python_only_where_some_may_wait(
    node: Any, may_wait: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Lending | None] = []

    def noting(config: WorkerConfig, lending: Lending | None) -> None:
        given.append(lending)
        lend_slots(config, lending)
        assert config.get("tuner") is not None

    monkeypatch.setattr(plugin, "lend_slots", noting)
    async with PerdureEnvironment.start({"g": graph_of(node)}, time_skipping=False) as env:
        run = await env.start("g", {"text": "hello"})
        assert (await run.result())["text"].lower().startswith("hello")
    assert [lending is not None for lending in given] == [may_wait]


@pytest.mark.parametrize(("said", "polls"), [(5, 10), (3, 3)])
def test_more_polls_unless_the_user_says_how_many(said: int, polls: int) -> None:
    config: Any = {"workflow_task_poller_behavior": PollerBehaviorSimpleMaximum(said)}
    lend_slots(cast("WorkerConfig", config), None)
    assert config["workflow_task_poller_behavior"] == PollerBehaviorSimpleMaximum(polls)


def test_a_tuner_of_the_user_is_left_as_it_is() -> None:
    tuner = WorkerTuner.create_fixed(workflow_slots=3)
    config: Any = {"tuner": tuner, "max_concurrent_activities": 7}
    lend_slots(cast("WorkerConfig", config), Lending())
    assert config["tuner"] is tuner
    assert config["max_concurrent_activities"] == 7


def _asked(*, sticky: bool) -> SlotReserveContext:
    return cast("SlotReserveContext", _Asked(sticky))


class _Asked:
    def __init__(self, is_sticky: bool) -> None:
        self.is_sticky = is_sticky


def _given_back(permit: Any) -> SlotReleaseContext:
    return SlotReleaseContext(slot_info=None, permit=permit)


async def test_threads_that_are_not_in_memory_have_fewer_slots() -> None:
    slots = WorkflowSlots(3, 1)
    cold = await slots.reserve_slot(_asked(sticky=False))
    assert slots.try_reserve_slot(_asked(sticky=False)) is None
    waiting = asyncio.create_task(slots.reserve_slot(_asked(sticky=False)))
    warm = [await slots.reserve_slot(_asked(sticky=True)) for _ in range(3)]
    assert slots.try_reserve_slot(_asked(sticky=True)) is None
    assert not waiting.done()

    slots.release_slot(_given_back(warm[0]))
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.release_slot(_given_back(cold))
    assert await asyncio.wait_for(waiting, 5)


async def test_who_gives_up_waiting_takes_no_slot() -> None:
    slots = WorkflowSlots(1, 1)
    first = await slots.reserve_slot(_asked(sticky=False))
    one, other = (asyncio.create_task(slots.reserve_slot(_asked(sticky=False))) for _ in range(2))
    await asyncio.sleep(0)
    slots.release_slot(_given_back(first))
    one.cancel()  # it has a slot by then, and does not know it yet
    assert await asyncio.wait_for(other, 5)


async def test_an_attempt_that_waits_makes_room_for_another() -> None:
    lending = Lending()
    slots = ActivitySlots(1, lending)
    await slots.reserve_slot(_asked(sticky=False))
    assert slots.try_reserve_slot(_asked(sticky=False)) is None
    waiting = asyncio.create_task(slots.reserve_slot(_asked(sticky=False)))
    await asyncio.sleep(0)
    with lending.lent():
        assert await asyncio.wait_for(waiting, 5)
    assert slots.try_reserve_slot(_asked(sticky=False)) is None
