"""The runs of a thread that stays open: which wait, which one is driven, how the latest ended.

Side: workflow. A plain class: no server needed to test it. A bounded memory: of the runs that are over, the oldest is
forgotten first; one that waits or runs never is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perdure.contract.run import RunPage, RunRecord, RunsRequest, ServedStatus
from perdure.contract.thread import RunRequest

__all__ = ["RunBook"]

_KEPT = 100
_OVER = ("success", "error", "timeout", "interrupted")


class RunBook:
    """`queued` are the requests that wait, oldest first."""

    def __init__(self, saved: list[RunRecord], queued: list[RunRequest]) -> None:
        self._records = {record.id: record for record in saved}
        self.queued = list(queued)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._records

    @property
    def busy(self) -> bool:
        """Whether a run waits or is driven."""
        return bool(self.queued) or any(r.status == "running" for r in self._records.values())

    def get(self, run_id: str) -> RunRecord | None:
        return self._records.get(run_id)

    def enqueue(self, request: RunRequest, now: float) -> None:
        self.queued.append(request)
        self._put(_record(request, now))

    def begin(self, request: RunRequest, now: float, base: str) -> None:
        """A run is driven now; `base` as in `RunRecord`. One that goes on after its thread continued as new keeps its own."""
        known = self._records.get(request.id)
        if known is None:
            known = _record(request, now)
        elif known.status == "running":
            return
        self._put(replace(known, status="running", updated_at=now, base=base))

    def end(
        self, run_id: str, status: ServedStatus, now: float, error: dict[str, str] | None = None
    ) -> RunRecord | None:
        """The run as it ended."""
        known = self._records.get(run_id)
        if known is None:
            return None
        ended = replace(known, status=status, updated_at=now, error=error)
        self._put(ended)
        return ended

    def unqueue(self, run_id: str) -> RunRequest | None:
        """Take a run that waits out of the queue; `None` if it did not wait."""
        found = next((request for request in self.queued if request.id == run_id), None)
        self.queued = [request for request in self.queued if request.id != run_id]
        return found

    def forget(self, run_id: str) -> None:
        self._records.pop(run_id, None)

    def page(self, wanted: RunsRequest) -> RunPage:
        if wanted.run_id is not None:
            found = self._records.get(wanted.run_id)
            return RunPage([found] if found else [])
        fitting = [r for r in self._records.values() if wanted.status in (None, r.status)][::-1]
        return RunPage(fitting[wanted.offset : wanted.offset + wanted.limit])

    def export(self) -> list[RunRecord]:
        return list(self._records.values())

    def _put(self, record: RunRecord) -> None:
        self._records[record.id] = record
        over = [r.id for r in self._records.values() if r.status in _OVER]
        for run_id in over[: max(0, len(self._records) - _KEPT)]:
            del self._records[run_id]


def _record(request: RunRequest, now: float) -> RunRecord:
    kwargs: dict[str, Any] = {"stream_mode": list(request.stream), "subgraphs": request.subgraphs}
    if request.webhook:
        kwargs["webhook"] = request.webhook
    return RunRecord(
        id=request.id,
        status="pending",
        created_at=now,
        updated_at=now,
        assistant_id=request.assistant_id,
        metadata=request.metadata,
        multitask_strategy=request.multitask_strategy,
        kwargs=kwargs,
    )
