"""A cron: a run that is started again and again by a Temporal Schedule.

Side: contract. The schedule holds it as its workflow's argument, so nothing else has to be up when its time comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from perdure.contract.thread import RunRequest, ThreadStart

__all__ = ["CronJob", "OnRunCompleted"]

OnRunCompleted = Literal["delete", "keep"]


@dataclass(frozen=True)
class CronJob:
    """`request` is what each run is made of; its ids are made when the time comes. Without a `thread_id` each run has a
    thread of its own, begun as `thread` says. `payload` is the request's body as it was sent, `schedule` in cron's own words,
    `end_time` ISO 8601; times are seconds since the epoch.
    """

    cron_id: str
    assistant_id: str
    schedule: str
    request: RunRequest
    thread: ThreadStart
    thread_id: str | None = None
    timezone: str | None = None
    end_time: str | None = None
    on_run_completed: OnRunCompleted | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    payload: dict[str, Any] = field(default_factory=dict[str, Any])
    created_at: float = 0.0
    updated_at: float = 0.0
