"""A run as a thing of its own: what is known of it before, while and after it runs, and how it is cancelled.

Side: contract. The words are those of LangGraph's server.

| status        | meaning                                                                     |
|---------------|-----------------------------------------------------------------------------|
| `pending`     | queued behind another run of its thread                                     |
| `running`     | its graph is driven, or waits for an answer in a run that does not end then |
| `success`     | came to its end, or stopped to ask for something                            |
| `error`       | failed                                                                      |
| `interrupted` | cancelled by somebody, or in favour of another run                          |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "CancelAction",
    "CancelRequest",
    "MultitaskStrategy",
    "RunPage",
    "RunRecord",
    "RunsRequest",
    "ServedStatus",
]

ServedStatus = Literal["pending", "running", "success", "error", "timeout", "interrupted"]
MultitaskStrategy = Literal["reject", "enqueue", "interrupt", "rollback"]
CancelAction = Literal["interrupt", "rollback"]


@dataclass(frozen=True)
class RunRecord:
    """One run. Times are seconds since the epoch in workflow time; `base` is the checkpoint that it started from ("" on a
    thread without any), `error` the failure's type and message."""

    id: str
    status: ServedStatus
    created_at: float
    updated_at: float
    assistant_id: str = ""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    multitask_strategy: MultitaskStrategy = "enqueue"
    base: str = ""
    error: dict[str, str] | None = None
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class RunsRequest:
    """Runs of a thread, newest first: all of a status, or the one called `run_id`."""

    run_id: str | None = None
    status: ServedStatus | None = None
    limit: int = 10
    offset: int = 0


@dataclass(frozen=True)
class RunPage:
    runs: list[RunRecord]


@dataclass(frozen=True)
class CancelRequest:
    """`rollback` also forgets the run and what it wrote into the state."""

    run_id: str
    action: CancelAction = "interrupt"
