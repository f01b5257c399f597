"""After a worker fell silent: who gets its workflows' next tasks."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from temporalio.api.enums.v1 import TaskQueueKind
from temporalio.client import Client
from typing_extensions import TypedDict

from perdure.activities import heartbeat
from perdure.testing import PerdureEnvironment


class State(TypedDict):
    tries: int


class Silence:
    """A graph of one node, whose first attempt fails; after it kept the worker's event loop to itself until the server gave
    the attempt up, if it is `silent`."""

    def __init__(self, *, silent: bool) -> None:
        self.tries = 0
        self.server = ("", "")
        builder = StateGraph(State)
        builder.add_node("node", self._silent if silent else self._failing)
        builder.add_edge(START, "node")
        self.graph: Any = builder.compile()

    async def _silent(self, state: State) -> dict[str, Any]:
        if not self.tries:
            waiting = threading.Thread(target=asyncio.run, args=(self._given_up(),))
            waiting.start()
            waiting.join()
        return await self._failing(state)

    async def _failing(self, state: State) -> dict[str, Any]:
        self.tries += 1
        if self.tries == 1:
            raise ConnectionError("too late, or in time")
        return {"tries": self.tries}

    async def _given_up(self) -> None:
        address, namespace = self.server
        handle = (await Client.connect(address, namespace=namespace)).get_workflow_handle("t")
        async with asyncio.timeout(60):
            while (await handle.describe()).raw_description.pending_activities[0].attempt == 1:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(("silent", "limit", "kind"), [(True, 1, "NORMAL"), (False, 60, "STICKY")])
async def test_a_thread_is_taken_from_the_worker_whose_attempt_fell_silent(
    silent: bool, limit: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing beats while the event loop is blocked, as if the whole process stood still.
    monkeypatch.setattr(heartbeat, "watched", lambda details: nullcontext())
    silence = Silence(silent=silent)
    async with PerdureEnvironment.start(
        {"g": silence.graph},
        time_skipping=False,
        replay_every_task=False,
        heartbeat=timedelta(seconds=limit),
    ) as env:
        silence.server = (env.client.service_client.config.target_host, env.client.namespace)
        run = await env.start("g", {"tries": 0}, thread_id="t")
        assert (await run.result())["tries"] > 1
        events = (await run.handle.fetch_history()).events
    done = [event.HasField("activity_task_completed_event_attributes") for event in events].index(True)
    next_task = events[done + 1].workflow_task_scheduled_event_attributes
    assert TaskQueueKind.Name(next_task.task_queue.kind) == f"TASK_QUEUE_KIND_{kind}"
