"""The end of a run, to be told to a URL.

Side: contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perdure.contract.run import RunRecord

__all__ = ["WebhookCall"]


@dataclass(frozen=True)
class WebhookCall:
    """Times are seconds since the epoch in workflow time; `started_at` is `None` for a run that never ran. `values` are the
    thread's at the run's end, and `None` where they were too large to be sent. `trace` is the W3C `traceparent` of the run's
    span, empty where nothing is traced."""

    url: str
    thread_id: str
    run: RunRecord
    started_at: float | None = None
    values: Any = None
    trace: str = ""
