"""A real server for many runs of one graph, and a worker that can be exchanged for another in the middle of any.

Side: testing. A worker that takes another's place has none of its memory. At first no worker keeps a workflow in memory: each
workflow task replays the whole history.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langgraph.store.memory import InMemoryStore
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, Worker

from perdure.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.testing.environment import PerdureEnvironment
from perdure.testing.faults.disturbance import INJECTED, FaultPlugin
from perdure.worker.plugin import PerdurePlugin

__all__ = ["Session", "history_problems"]

# The SDK's complaint about a turn of more than 2 s. On a busy machine it says nothing of the graph; of a workflow that really
# hangs, it never ends.
_SLOW = "[TMPRL1101]"
_REPLAYS = 3
_UNHANDLED = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND


class Session:
    """Made by `Session.open`. `faults` tells which run is disturbed."""

    def __init__(
        self,
        environment: PerdureEnvironment,
        graphs: Mapping[str, Any],
        *,
        types: Iterable[type],
        payloads: str,
    ) -> None:
        self.faults = FaultPlugin()
        self.client: PerdureClient = environment.perdure
        self._address = environment.client.service_client.config.target_host
        self._queue = environment.task_queue
        self._graphs = graphs
        self._types = tuple(types)
        self._payloads = payloads
        self._options: dict[str, Any] = {"max_cached_workflows": 0}
        # What a store remembers outlives a worker.
        self._store = InMemoryStore()
        self._worker: Worker | None = None
        self._changing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, graphs: Mapping[str, Any], *, types: Iterable[type] = ()) -> AsyncGenerator[Session]:
        """A server and its first worker, until the block ends."""
        with TemporaryDirectory(prefix="perdure-") as folder:
            payloads = Path(folder).as_uri()
            async with PerdureEnvironment.start(
                graphs, time_skipping=False, worker=False, types=types, payloads=payloads
            ) as environment:
                session = cls(environment, graphs, types=types, payloads=payloads)
                await session._start()
                try:
                    yield session
                finally:
                    await session._stop()

    async def remember(self) -> None:
        """From now on, keep workflows in memory between their tasks, as workers do: runs take a quarter of the time."""
        self._options = {}
        await self.restart()

    async def restart(self) -> None:
        """Stop the worker, as far as it lets itself be stopped, and start another."""
        async with self._changing:
            disturbance = self.faults.current
            if disturbance is not None:
                disturbance.stopping = True
            await self._stop()
            if disturbance is not None:
                disturbance.stopping = False
            await self._start()

    async def problems(self, thread_id: str) -> list[str]:
        """What is wrong with the thread's histories, in words."""
        return await history_problems(self.client, thread_id, self._plugin())

    def _plugin(self) -> PerdurePlugin:
        return PerdurePlugin(self._graphs, types=self._types, payloads=self._payloads, store=self._store)

    async def _start(self) -> None:
        client: Client = await connect_temporal(self._address, plugins=[self._plugin()])
        self._worker = Worker(
            client,
            task_queue=self._queue,
            **self._options,
            graceful_shutdown_timeout=timedelta(0),
            plugins=[self.faults],
        )
        await self._worker.__aenter__()

    async def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.__aexit__(None, None, None)


async def history_problems(client: PerdureClient, thread_id: str, plugin: PerdurePlugin) -> list[str]:
    """Of the thread's history, and of those that it continued from: workflow tasks that failed though no fault was to
    blame, and why it does not replay on a worker of its own."""
    problems: list[str] = []
    for history in await _histories(client, thread_id):
        problems += [f"a workflow task failed: {why}" for why in _troubles(history)]
        if why := await _replayed(history, plugin):
            problems.append(f"the history does not replay: {why}")
    return problems


async def _replayed(history: WorkflowHistory, plugin: PerdurePlugin) -> str:
    """Why it does not replay; nothing when it does."""
    why = ""
    for _ in range(_REPLAYS):
        replayer = Replayer(workflows=[], plugins=[plugin])
        result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        why = "" if result.replay_failure is None else str(result.replay_failure)
        if _SLOW not in why:
            break
    return why


async def _histories(client: PerdureClient, thread_id: str) -> list[WorkflowHistory]:
    histories: list[WorkflowHistory] = []
    run_id: str | None = None
    while run_id is None or run_id:
        handle = client.temporal.get_workflow_handle(thread_id, run_id=run_id)
        history = await handle.fetch_history()
        histories.append(history)
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
    return histories


def _troubles(history: WorkflowHistory) -> list[str]:
    failed = [
        event.workflow_task_failed_event_attributes
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    return [
        attributes.failure.message
        for attributes in failed
        if attributes.cause != _UNHANDLED
        and not any(known in attributes.failure.message for known in (INJECTED, _SLOW))
    ]
