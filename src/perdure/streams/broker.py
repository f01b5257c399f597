"""The port between those who publish what runs say and those who listen.

Side: both. The events of a thread are one sequence, run after run; a listener names the last one that it has seen and gets
those after it, first what is kept, then what comes: of one run, or of all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

__all__ = ["BEGIN", "END", "LATEST", "LOST", "Broker", "StreamEvent", "event_key"]

BEGIN = "begin"
"""The event before which a run says nothing."""

END = "end"
"""The event after which a run says nothing more."""

LOST = "lost"
"""Stands, without an id of its own, for events that cannot be told any more."""

LATEST = "$"
"""As `after`: nothing that is kept, only what comes."""


class StreamEvent(NamedTuple):
    """`id` grows within a thread, also over restarts of the broker's process; `data` is JSON."""

    id: str
    event: str
    data: bytes
    run_id: str = ""


class Broker(Protocol):
    """Publishing is called from any thread, never blocks for long and never raises: a run must not fail for its stream."""

    def publish(
        self, thread_id: str, run_id: str, event: str, data: bytes, *, number: int | None = None
    ) -> None:
        """Args:
        number: grows with each event of a run's workflow; one that came before is dropped.
        """
        ...

    def listen(
        self, thread_id: str, run_id: str | None = None, *, after: str | None = None
    ) -> AsyncIterator[StreamEvent | None]:
        """Events after the one with the given id: of one run up to its `END`, or of all runs without an end. `None` now and
        then, while nothing comes."""
        ...

    async def knows(self, thread_id: str, run_id: str | None = None, *, after: str | None = None) -> bool:
        """Whether nothing is lost that came after that event, or of all that the run has said."""
        ...

    async def forget(self, thread_id: str) -> None:
        """Keep nothing of a thread."""
        ...

    async def flush(self) -> None:
        """Wait, for some seconds at most, until all that was published is where others can listen to it."""
        ...


def event_key(event_id: str | None) -> tuple[int, int]:
    """Milliseconds and a count, to compare ids by; what is no id of ours stands before all."""
    head, _, tail = (event_id or "").partition("-")
    return (int(head), int(tail)) if head.isdecimal() and tail.isdecimal() else (0, -1)
