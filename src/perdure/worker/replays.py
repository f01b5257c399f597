"""Threads that are replayed go before those that the worker has in memory.

Side: worker. All share one interpreter. A replay has to end within the time that a workflow task may take, or it was for nothing and
is made again; a thread in memory can wait. Without this the first threads that go on after a restart take the processor from
the replays of the others, which then time out again and again.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from temporalio.worker import WorkflowRunner

from perdure.contract.policy import TASK_TIMEOUT
from perdure.worker.instances import Activate, AroundRunner

__all__ = ["ReplaysFirst"]

# A thread in memory makes a step in this time at least, however many are replayed.
_MOST_SECONDS = 0.5


class ReplaysFirst(AroundRunner):
    """An activation of a thread in memory waits until nothing is replayed, but not for long."""

    def __init__(self, inner: WorkflowRunner) -> None:
        super().__init__(inner)
        self._changed = threading.Condition()
        self._begun: dict[str, float] = {}

    def around(self, thread_id: str, activate: Activate) -> Activate:
        def in_turn(act: Any) -> Any:
            if _has(act, "remove_from_cache"):
                self._ended(act.run_id)
            elif act.is_replaying and not _has(
                act, "query_workflow"
            ):  # for a question all is replayed, to its end
                with self._changed:
                    self._begun.setdefault(act.run_id, time.monotonic())
            elif not self._ended(act.run_id):
                self._give_way()
            return activate(act)

        return in_turn

    def _ended(self, run_id: str) -> bool:
        """Whether it was replayed until now."""
        with self._changed:
            was = self._begun.pop(run_id, None) is not None
            if was:
                self._changed.notify_all()
            return was

    def _give_way(self) -> None:
        if self._begun:
            with self._changed:
                self._changed.wait_for(lambda: not self._goes_on(), _MOST_SECONDS)

    def _goes_on(self) -> bool:
        """Whether there is a replay that can still end in time."""
        late = time.monotonic() - TASK_TIMEOUT.total_seconds()
        return any(begun > late for begun in self._begun.values())


def _has(act: Any, job: str) -> bool:
    return any(each.HasField(job) for each in act.jobs)
