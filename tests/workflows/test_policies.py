"""Retries, time limits, places and cancellation of node calls."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy as GraphRetryPolicy
from langgraph.types import TimeoutPolicy
from temporalio.common import RetryPolicy
from typing_extensions import TypedDict

from perdure import LLM_RETRY, durable
from perdure.contract.policy import HANDOVERS
from perdure.errors import RunCancelled, RunFailed
from perdure.testing import PerdureEnvironment


class State(TypedDict):
    value: Any


def graph_of(node: Any, **options: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", node, **options)
    builder.add_edge(START, "node")
    return builder.compile()


class Flaky:
    def __init__(self, failures: int, error: Exception) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error

    def __call__(self, state: State) -> dict[str, Any]:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        return {"value": self.calls}


async def outcome(node: Any, **options: Any) -> Any:
    async with PerdureEnvironment.start({"g": graph_of(node, **options)}, payloads="none") as env:
        return await (await env.start("g", {"value": None})).result()


async def test_declared_retries_are_made() -> None:
    policy = RetryPolicy(initial_interval=timedelta(seconds=30), maximum_attempts=5)
    flaky = Flaky(4, ValueError("not yet"))
    assert await outcome(flaky, metadata=durable(retry=policy)) == {"value": 5}


async def test_non_retryable_error_types_are_respected() -> None:
    policy = RetryPolicy(maximum_attempts=5, non_retryable_error_types=["ValueError"])
    flaky = Flaky(4, ValueError("never"))
    with pytest.raises(RunFailed, match="ValueError: never"):
        await outcome(flaky, metadata=durable(retry=policy))
    assert flaky.calls == 1


async def test_langgraphs_own_retry_policy_is_mapped() -> None:
    flaky = Flaky(2, KeyError("odd"))
    policy = GraphRetryPolicy(max_attempts=3, retry_on=KeyError, jitter=False)
    assert await outcome(flaky, retry_policy=policy) == {"value": 3}
    flaky = Flaky(2, ConnectionError("not mine"))
    with pytest.raises(RunFailed, match="ConnectionError"):
        await outcome(flaky, retry_policy=policy)
    assert flaky.calls == 1


async def test_durable_beats_langgraphs_policy_and_both_beat_the_default() -> None:
    flaky = Flaky(1, ConnectionError("down"))
    with pytest.raises(RunFailed):
        await outcome(
            flaky,
            metadata=durable(retry=RetryPolicy(maximum_attempts=1)),
            retry_policy=GraphRetryPolicy(max_attempts=9),
        )
    assert flaky.calls == 1


async def test_every_activity_has_a_timeout_and_a_finite_retry_policy() -> None:
    graph = graph_of(
        Flaky(0, ValueError()),
        metadata=durable(retry=LLM_RETRY, timeout=timedelta(seconds=7), summary="ask the model"),
    )
    async with PerdureEnvironment.start({"g": graph, "plain": graph_of(Flaky(0, ValueError()))}) as env:
        found = []
        for name in ("g", "plain"):
            run = await env.start(name, {"value": None})
            await run.result()
            found += [
                e.activity_task_scheduled_event_attributes
                for e in (await run.handle.fetch_history()).events
                if e.HasField("activity_task_scheduled_event_attributes")
            ]
    declared, plain = found
    assert declared.start_to_close_timeout.ToTimedelta() == timedelta(seconds=7)
    assert declared.retry_policy.maximum_attempts == LLM_RETRY.maximum_attempts + HANDOVERS
    assert plain.start_to_close_timeout.ToTimedelta() > timedelta(0)
    assert plain.heartbeat_timeout.ToTimedelta() > timedelta(0)
    assert plain.retry_policy.maximum_attempts == 4 + HANDOVERS


async def test_a_node_that_takes_too_long_is_cut_off_by_name() -> None:
    async def slow(state: State) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    options = durable(timeout=timedelta(seconds=1), retry=RetryPolicy(maximum_attempts=1))
    with pytest.raises(
        RunFailed, match="node 'node' failed: TimeoutError: no answer within its start_to_close limit"
    ):
        await outcome(slow, metadata=options)


async def test_langgraphs_timeout_policy_is_the_attempts_limit() -> None:
    async def slow(state: State) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    with pytest.raises(RunFailed, match="node 'node' failed"):
        await outcome(
            slow,
            timeout=TimeoutPolicy(run_timeout=1),
            metadata=durable(retry=RetryPolicy(maximum_attempts=1)),
        )


async def test_run_in_workflow_needs_no_activity() -> None:
    graph = graph_of(lambda state: {"value": "inline"}, metadata=durable(run_in="workflow"))
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"value": None})
        assert await run.result() == {"value": "inline"}
        history = await run.handle.fetch_history()
        assert not [e for e in history.events if e.HasField("activity_task_scheduled_event_attributes")]


async def test_cancelling_a_run_cancels_the_node_that_is_under_way() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(state: State) -> dict[str, Any]:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    async with PerdureEnvironment.start({"g": graph_of(slow)}) as env:
        run = await env.start("g", {"value": None})
        await started.wait()
        before = time.monotonic()
        await run.cancel()
        with pytest.raises(RunCancelled):
            await run.result()
        async with asyncio.timeout(10):
            await cancelled.wait()
        assert time.monotonic() - before < 10


@pytest.mark.compat(
    "a value over the size limit where no external storage is set",
    status="refused",
    error="`PayloadTooLarge` fails the run, naming node and channel",
)
async def test_a_result_that_temporal_cannot_hold_is_a_clear_error() -> None:
    with pytest.raises(RunFailed, match=r"node 'node'.*2,5\d\d,\d\d\d bytes \(channel 'value'") as caught:
        await outcome(lambda state: {"value": "x" * 2_500_000})
    assert caught.value.cause_type == "PayloadTooLarge"


@pytest.mark.compat(
    "a node's result of a type that is not on the allow-list (which the graph's annotations and modules, and `PerdurePlugin(types=[...])` make)",
    status="refused",
    error="`PayloadNotSerializable` fails the run, naming the node and the type",
)
async def test_a_result_of_an_unknown_type_is_a_clear_error() -> None:
    class Odd:
        pass

    with pytest.raises(RunFailed, match=r"node 'node'.*Odd") as caught:
        await outcome(lambda state: {"value": Odd()})
    assert caught.value.cause_type == "PayloadNotSerializable"


def test_durable_refuses_what_could_never_work() -> None:
    with pytest.raises(ValueError, match="finite"):
        durable(retry=RetryPolicy())
    with pytest.raises(ValueError, match="timeout"):
        durable(timeout=timedelta(0))
    with pytest.raises(ValueError, match="run_in"):
        durable(run_in="thread")  # pyright: ignore[reportArgumentType]
