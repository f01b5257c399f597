"""A run's steps, as Temporal's history tells them: the one account that no crash can change.

A step is one call of one node. Its `attempts` are those that a worker took up, so one that was lost counts.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHandle

__all__ = ["Step", "Steps"]


@dataclass
class Step:
    """One call of a node. `started_at` is of its last attempt, `outcome` what the node said, as plain data."""

    node: str
    started_at: datetime | None = None
    attempts: int = 0
    pid: int = 0
    finished: bool = False
    outcome: dict[str, Any] = field(default_factory=dict[str, Any])


class Steps:
    """Follows a run from its start to its end. `on_finished` is called with each step that ends well."""

    def __init__(self, handle: WorkflowHandle[Any, Any], on_finished: Callable[[Step], None]) -> None:
        self._handle = handle
        self._on_finished = on_finished
        self._by_event: dict[int, Step] = {}
        self._changed = asyncio.Condition()

    @property
    def all(self) -> list[Step]:
        """In the order in which they were scheduled."""
        return list(self._by_event.values())

    @property
    def finished(self) -> list[Step]:
        return [step for step in self.all if step.finished]

    async def follow(self) -> None:
        """Read the history as it grows; returns when the run has ended."""
        async for event in self._handle.fetch_history_events(wait_new_event=True):
            await self._apply(event)
            async with self._changed:
                self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the history fulfils `condition`."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def _apply(self, event: HistoryEvent) -> None:
        match event.WhichOneof("attributes"):
            case "activity_task_scheduled_event_attributes":
                # Perdure's activity ids are "node:number of the call".
                node = event.activity_task_scheduled_event_attributes.activity_id.rpartition(":")[0]
                self._by_event[event.event_id] = Step(node)
            case "activity_task_started_event_attributes":
                started = event.activity_task_started_event_attributes
                step = self._by_event[started.scheduled_event_id]
                step.started_at = event.event_time.ToDatetime(tzinfo=UTC)
                step.attempts = started.attempt
                step.pid = int(started.identity.partition("@")[0])  # Temporal's default identity: "pid@host"
            case "activity_task_completed_event_attributes":
                completed = event.activity_task_completed_event_attributes
                step = self._by_event[completed.scheduled_event_id]
                [step.outcome] = await self._handle._client.data_converter.decode(completed.result.payloads)
                step.finished = True
                self._on_finished(step)
            case _:
                pass
