"""Ids and randomness that are the same at every replay.

Side: workflow. LangGraph draws checkpoint ids from the clock, message ids and retry jitter from the system's
randomness; task ids and interrupt ids are derived from the checkpoint ids. `WorkflowIds` draws all of them from the
workflow's own clock and seeded randomness.
"""

from __future__ import annotations

import uuid

from temporalio import workflow

__all__ = ["WorkflowIds"]

# 100-nanosecond intervals between the UUID epoch (1582-10-15) and the Unix epoch; see RFC 9562, section 5.6.
_UUID_EPOCH = 0x01B21DD213814000


class WorkflowIds:
    """One per graph run. `uuid6` is strictly increasing: LangGraph orders checkpoints by it."""

    def __init__(self) -> None:
        self._last_ticks = 0

    def uuid4(self) -> uuid.UUID:
        return workflow.uuid4()

    def uniform(self, low: float, high: float) -> float:
        return workflow.random().uniform(low, high)

    def uuid6(self, clock_seq: int | None) -> uuid.UUID:
        rng = workflow.random()
        ticks = max(workflow.time_ns() // 100 + _UUID_EPOCH, self._last_ticks + 1)
        self._last_ticks = ticks
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
