"""How the latest runs of a thread ended: for who asks for a result after the run is over.

Side: workflow. A bounded memory: the oldest is forgotten first. Small results go along when the thread continues as new;
a large one is forgotten then (the state, which holds its values, is not).
"""

from __future__ import annotations

from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, FailureError

from perdure.contract.thread import SavedEnd

__all__ = ["Ends"]

_KEPT = 20
_CARRIED_BYTES = 100_000


class Ends:
    """By run id."""

    def __init__(self, saved: list[SavedEnd]) -> None:
        self._ends: dict[str, RawValue | FailureError] = {item.run_id: _restored(item) for item in saved}

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._ends

    def keep(self, run_id: str, end: RawValue | FailureError) -> None:
        self._ends[run_id] = end
        while len(self._ends) > _KEPT:
            del self._ends[next(iter(self._ends))]

    def result(self, run_id: str) -> RawValue:
        """Raises FailureError: what the run ended in."""
        end = self._ends[run_id]
        if isinstance(end, FailureError):
            raise end
        return end

    def export(self) -> list[SavedEnd]:
        """Those to go along, oldest first: the newest that fit."""
        saved: list[SavedEnd] = []
        room = _CARRIED_BYTES
        for run_id, end in reversed(self._ends.items()):
            item = _saved(run_id, end)
            room -= len(item.data) + len(item.message)
            if room < 0:
                break
            saved.append(item)
        return saved[::-1]


def _saved(run_id: str, end: RawValue | FailureError) -> SavedEnd:
    if isinstance(end, RawValue):
        return SavedEnd(
            run_id, encoding=end.payload.metadata["encoding"].decode(), data=end.payload.data.decode()
        )
    details: Any = end.details[0] if isinstance(end, ApplicationError) and end.details else None
    kind = end.type if isinstance(end, ApplicationError) else type(end).__name__
    return SavedEnd(run_id, failed=kind or "", message=end.message, details=details)


def _restored(item: SavedEnd) -> RawValue | FailureError:
    if item.failed is None:
        return RawValue(Payload(metadata={"encoding": item.encoding.encode()}, data=item.data.encode()))
    return ApplicationError(item.message, item.details, type=item.failed, non_retryable=True)
