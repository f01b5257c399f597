"""The port between those who publish a run's events and those who listen.

Side: both. Events of one run are numbered; a listener names the last one that it has seen and gets those after it, first
what is kept, then what comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

__all__ = ["END", "Broker", "StreamEvent"]

END = "end"
"""The event after which a run says nothing more."""


class StreamEvent(NamedTuple):
    """`id` grows within a run, also over restarts of the broker's process; `data` is JSON."""

    id: str
    event: str
    data: bytes


class Broker(Protocol):
    """Publishing is called from any thread, never blocks for long and never raises: a run must not fail for its stream."""

    def publish(self, run_id: str, event: str, data: bytes, *, number: int | None = None) -> None:
        """Args:
        number: grows with each event of a workflow; one that came before is dropped.
        """
        ...

    def listen(self, run_id: str, *, after: str | None = None) -> AsyncIterator[StreamEvent | None]:
        """Events of a run, after the one with the given id: what is kept, then what comes, up to `END`. `None` now and then,
        while nothing comes."""
        ...

    def knows(self, run_id: str, event_id: str | None = None) -> bool:
        """Whether nothing of a run is lost after that event, or at all."""
        ...
