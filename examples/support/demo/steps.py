"""A run's steps, as Temporal's history tells them: the one account that no crash can change.

A step is one call of one node. Its `attempts` are those that a worker took up, so one that was lost counts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

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

    @property
    def asks(self) -> bool:
        """Whether it ended with an interrupt: a question that waits."""
        return bool(self.outcome.get("interrupts"))


class Steps:
    """Reads a thread's history as it grows. `on_finished` is called with each step that ends well."""

    def __init__(self, client: Client, thread_id: str, *, on_finished: Callable[[Step], None]) -> None:
        self._decode = client.data_converter.decode
        self._events = client.get_workflow_handle(thread_id).fetch_history_events(wait_new_event=True)
        self._on_finished = on_finished
        self._by_event: dict[int, Step] = {}

    @property
    def all(self) -> list[Step]:
        """In the order in which they were scheduled."""
        return list(self._by_event.values())

    @property
    def finished(self) -> list[Step]:
        return [step for step in self.all if step.finished]

    async def read_until(self, condition: Callable[[], bool]) -> bool:
        """Read on until `condition` holds; False when the thread ended before it did."""
        while not condition():
            try:
                event = await anext(self._events)
            except StopAsyncIteration:
                return False
            await self._apply(event)
        return True

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
                step.pid = int(
                    started.identity.partition("@")[0]
                )  # Temporal's default identity is "pid@host"
            case "activity_task_completed_event_attributes":
                completed = event.activity_task_completed_event_attributes
                step = self._by_event[completed.scheduled_event_id]
                [step.outcome] = await self._decode(completed.result.payloads)
                step.finished = True
                self._on_finished(step)
            case _:
                pass
