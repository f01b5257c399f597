"""What a run says while it goes on: told to the worker's broker, never to the history.

Side: workflow. An event is published when it first happens and not when it is replayed. Its number within the thread is the
same at every replay, so that a broker can drop one that comes twice (a workflow task that is tried again).

Not guaranteed: that an event arrives. The thread's state tells the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from temporalio import workflow

from perdure._compat import NS_SEP
from perdure.contract.thread import RunRequest
from perdure.workflows.checkpoint_events import told_checkpoint
from perdure.workflows.children import Children

__all__ = ["EXTERN_PUBLISH", "Publisher"]

EXTERN_PUBLISH = "perdure.publish"

# What the driver itself needs: the result, and what is asked.
_Mode = Literal["values", "updates", "debug", "tasks", "checkpoints"]
_DRIVER_MODES: tuple[_Mode, ...] = ("updates", "values")
# LangGraph tells these where the graph runs, which is here; messages and custom events are told where the node runs.
_MODES: tuple[_Mode, ...] = ("values", "updates", "debug", "tasks", "checkpoints")


class Publisher:
    """`count` is the number of the latest event."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._run_id = ""
        self._modes: list[_Mode] = []
        self._children: Children | None = None

    def open(self, request: RunRequest) -> list[_Mode]:
        """Begin to tell of a run; the modes to let LangGraph stream."""
        self._run_id = request.id
        self._modes = [mode for mode in _MODES if mode in request.stream]
        self._children = Children() if "lifecycle" in request.stream else None
        return [*_DRIVER_MODES, *(mode for mode in self._modes if mode not in _DRIVER_MODES)]

    def chunk(self, namespace: tuple[str, ...], mode: str, chunk: Any) -> None:
        """One item of LangGraph's stream, if it is wanted."""
        for event, data in self._children.of(namespace, mode, chunk) if self._children else ():
            self.tell(event, data)
        if mode in self._modes:
            self.tell(NS_SEP.join((mode, *namespace)), chunk)

    def tell(self, event: str, data: Any, *, run_id: str | None = None) -> None:
        self.count += 1
        if workflow.unsafe.is_replaying():
            return
        data = told_checkpoint(event.partition(NS_SEP)[0], data)
        publish = cast("Callable[..., None]", workflow.extern_functions()[EXTERN_PUBLISH])
        publish(workflow.info().workflow_id, run_id or self._run_id, event, data, number=self.count)
