"""Ids and randomness that are the same at every replay.

Side: workflow. LangGraph draws checkpoint ids from the clock, message ids and retry jitter from the system's
randomness; task ids and interrupt ids are derived from the checkpoint ids. `WorkflowIds` draws all of them from the
workflow's own clock and seeded randomness.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from temporalio import workflow

__all__ = ["WorkflowIds", "time_of"]

# 100-nanosecond intervals between the UUID epoch (1582-10-15) and the Unix epoch; see RFC 9562, section 5.6.
_UUID_EPOCH = 0x01B21DD213814000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WorkflowIds:
    """One per thread or graph run. `uuid6` is strictly increasing: LangGraph orders checkpoints by it.

    `ticks` is the clock reading of the last one, in 100 ns since the UUID epoch; given back, ids go on growing.
    """

    def __init__(self, ticks: int = 0) -> None:
        self.ticks = ticks

    def uuid4(self) -> uuid.UUID:
        return workflow.uuid4()

    def uniform(self, low: float, high: float) -> float:
        return workflow.random().uniform(low, high)

    def now(self) -> float:
        """Seconds since the epoch, in workflow time."""
        return workflow.time()

    def uuid6(self, clock_seq: int | None) -> uuid.UUID:
        rng = workflow.random()
        ticks = max(workflow.time_ns() // 100 + _UUID_EPOCH, self.ticks + 1)
        self.ticks = ticks
        sequence = rng.getrandbits(14) if clock_seq is None else clock_seq & 0x3FFF
        value = (
            ((ticks >> 12) & 0xFFFFFFFFFFFF) << 80
            | (ticks & 0x0FFF) << 64
            | sequence << 48
            | rng.getrandbits(48)
        )
        # uuid.UUID sets version and variant for versions 1 to 5 only, so version 6 is set by hand.
        value = (value & ~(0xF000 << 64)) | (6 << 76)
        value = (value & ~(0xC000 << 48)) | (0x8000 << 48)
        return uuid.UUID(int=value)


def time_of(checkpoint_id: str) -> str:
    """When an id of version 6 was made, in ISO 8601: the same at every replay, unlike the system's clock."""
    value = uuid.UUID(checkpoint_id).int
    ticks = (value >> 80) << 12 | (value >> 64) & 0x0FFF
    return (_EPOCH + timedelta(microseconds=(ticks - _UUID_EPOCH) // 10)).isoformat()
