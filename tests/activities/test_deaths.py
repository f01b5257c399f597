"""After a worker fell silent: who gets its workflows' next tasks."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from temporalio.api.enums.v1 import TaskQueueKind
from typing_extensions import TypedDict

from perdure.testing import PerdureEnvironment


class State(TypedDict):
    tries: int


def graph_of(silent: timedelta) -> Any:
    """A node that is silent for so long in its first attempt: it keeps the worker's event loop to itself, and fails after it."""
    tries: list[int] = []

    async def node(state: State) -> dict[str, Any]:
        tries.append(1)
        if len(tries) == 1:
            time.sleep(silent.total_seconds())  # noqa: ASYNC251 - a worker that does not answer
            raise ConnectionError("too late, or in time")
        return {"tries": len(tries)}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


@pytest.mark.parametrize(("silent", "limit", "kind"), [(2, 1, "NORMAL"), (0, 60, "STICKY")])
async def test_a_thread_is_taken_from_the_worker_whose_attempt_fell_silent(
    silent: int, limit: int, kind: str
) -> None:
    graphs = {"g": graph_of(timedelta(seconds=silent))}
    async with PerdureEnvironment.start(
        graphs, time_skipping=False, replay_every_task=False, heartbeat=timedelta(seconds=limit)
    ) as env:
        run = await env.start("g", {"tries": 0})
        assert (await run.result())["tries"] > 1
        events = (await run.handle.fetch_history()).events
    done = [event.HasField("activity_task_completed_event_attributes") for event in events].index(True)
    next_task = events[done + 1].workflow_task_scheduled_event_attributes
    assert TaskQueueKind.Name(next_task.task_queue.kind) == f"TASK_QUEUE_KIND_{kind}"
