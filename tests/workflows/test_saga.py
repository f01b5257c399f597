"""`Saga` in one's own workflows: what is undone, when, in which order, and what an undo that fails leaves behind."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import Worker

from perdure import Saga
from perdure.testing import PerdureEnvironment

QUICK: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=20),
    "retry_policy": RetryPolicy(maximum_attempts=1),
}
TWICE = RetryPolicy(maximum_attempts=2, initial_interval=timedelta(milliseconds=1))


class World:
    """What the activities did, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.refuse: set[str] = set()
        self.hold = asyncio.Event()

    @activity.defn
    async def do(self, name: str) -> str:
        self._apply(name)
        return name

    @activity.defn
    async def undo(self, name: str) -> None:
        self._apply(f"undo {name}")

    @activity.defn
    async def slow_undo(self, name: str) -> None:
        self.log.append(f"undoing {name}")
        await self.hold.wait()
        self.log.append(f"undo {name}")

    def _apply(self, name: str) -> None:
        self.log.append(name)
        if name in self.refuse:
            raise ApplicationError(f"{name} refused", type="Refused")


@workflow.defn
class Trip:
    """Does "a", "b", "c"; each has its undo. `ends` says how it goes on after that."""

    def __init__(self) -> None:
        self.inline: list[str] = []

    @workflow.run
    async def run(self, ends: str, parallel: bool) -> list[str]:
        async with Saga(parallel=parallel, retry=TWICE) as saga:
            for name in "abc":
                saga.add("slow_undo" if ends == "slow" and name == "c" else "undo", name)
                await workflow.execute_activity("do", name, **QUICK)
                if name == "b" and ends == "commit":
                    saga.commit()
            saga.add(self.inline.append, "inline")
            if ends in ("fail", "commit", "slow"):
                raise ApplicationError("no seats", type="NoSeats")
            if ends == "wait":
                await workflow.wait_condition(lambda: False)
            if ends == "by hand":
                assert await saga.compensate() == []
        return self.inline

    @workflow.query
    def undone_inline(self) -> list[str]:
        return self.inline


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with PerdureEnvironment.start({}, worker=False) as env:
        yield env.client


class Trips:
    def __init__(self, client: Client, world: World) -> None:
        self._client = client
        self._world = world
        self._queue = f"saga-{uuid.uuid4().hex}"

    def worker(self) -> Worker:
        return Worker(
            self._client,
            task_queue=self._queue,
            workflows=[Trip],
            activities=[self._world.do, self._world.undo, self._world.slow_undo],
            max_cached_workflows=0,
        )

    async def start(self, ends: str, *, parallel: bool = False) -> Any:
        return await self._client.start_workflow(
            Trip.run, args=[ends, parallel], id=uuid.uuid4().hex, task_queue=self._queue
        )


async def test_nothing_is_undone_when_the_block_returns(client: Client) -> None:
    trips = Trips(client, world := World())
    async with trips.worker():
        assert await (await trips.start("return")).result() == []
    assert world.log == ["a", "b", "c"]


@pytest.mark.parametrize("parallel", [False, True])
async def test_a_failure_undoes_everything_last_one_first(client: Client, parallel: bool) -> None:
    trips = Trips(client, world := World())
    async with trips.worker():
        trip = await trips.start("fail", parallel=parallel)
        with pytest.raises(WorkflowFailureError) as failed:
            await trip.result()
        assert await trip.query(Trip.undone_inline) == ["inline"]
    assert getattr(failed.value.cause, "type", None) == "NoSeats"
    undone = world.log[3:]
    assert (sorted(undone) if parallel else undone[::-1]) == ["undo a", "undo b", "undo c"]


async def test_an_action_whose_answer_was_lost_is_undone_too(client: Client) -> None:
    trips = Trips(client, world := World())
    world.refuse = {"b"}
    async with trips.worker():
        with pytest.raises(WorkflowFailureError):
            await (await trips.start("fail")).result()
    assert world.log == ["a", "b", "undo b", "undo a"]


async def test_a_cancellation_undoes_everything(client: Client) -> None:
    trips = Trips(client, world := World())
    async with trips.worker():
        trip = await trips.start("wait")
        while len(world.log) < 3:  # noqa: ASYNC110 - activities in this process are waited for
            await asyncio.sleep(0.01)
        await trip.cancel()
        with pytest.raises(WorkflowFailureError) as failed:
            await trip.result()
    assert isinstance(failed.value.cause, CancelledError)
    assert world.log == ["a", "b", "c", "undo c", "undo b", "undo a"]


async def test_a_cancellation_does_not_stop_what_undoes(client: Client) -> None:
    trips = Trips(client, world := World())
    async with trips.worker():
        trip = await trips.start("slow")
        while "undoing c" not in world.log:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        await trip.cancel()
        await asyncio.sleep(0.2)
        world.hold.set()
        with pytest.raises(WorkflowFailureError) as failed:
            await trip.result()
    assert getattr(failed.value.cause, "type", None) == "NoSeats"
    assert world.log[3:] == ["undoing c", "undo c", "undo b", "undo a"]


async def test_an_undo_that_fails_does_not_stop_the_others_and_is_named(client: Client) -> None:
    trips = Trips(client, world := World())
    world.refuse = {"undo b"}
    async with trips.worker():
        with pytest.raises(WorkflowFailureError) as failed:
            await (await trips.start("fail")).result()
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "CompensationIncomplete"
    assert cause.details == ([{"undo": "undo", "reason": "Refused: undo b refused"}],)
    assert world.log[3:] == ["undo c", "undo b", "undo b", "undo a"]


async def test_a_commit_is_the_point_of_no_return(client: Client) -> None:
    trips = Trips(client, world := World())
    async with trips.worker():
        with pytest.raises(WorkflowFailureError):
            await (await trips.start("commit")).result()
    assert world.log == ["a", "b", "c", "undo c"]


async def test_compensation_by_hand_happens_once(client: Client) -> None:
    trips = Trips(client, world := World())
    async with trips.worker():
        assert await (await trips.start("by hand")).result() == ["inline"]
    assert world.log[3:] == ["undo c", "undo b", "undo a"]


def test_an_undo_without_an_end_to_its_retries_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Saga(retry=RetryPolicy())
    with pytest.raises(ValueError, match="finite"):
        Saga().add("undo", retry=RetryPolicy(maximum_attempts=0))
