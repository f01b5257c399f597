"""Circuit breakers: a model that has failed again and again is left alone for a while.

Side: activities. One set per worker, shared by all its node calls; not by several workers, and forgotten with the process.

| state     | meaning                                    | leaves it by                                       |
|-----------|--------------------------------------------|----------------------------------------------------|
| closed    | calls are made                             | so many failures in a row                          |
| open      | calls are not made                         | time                                               |
| half open | one call is made to see, others are not    | its success (closed), its failure (open again)     |
"""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["Breakers", "breakers"]


@dataclass
class _Breaker:
    failures: int = 0
    opened_at: float | None = None
    trying: bool = False


class Breakers:
    """By model name; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._breakers: dict[str, _Breaker] = {}

    def admits(self, name: str, open_for: timedelta) -> bool:
        """Whether a call may be made. Who is let through must tell how it went."""
        with self._lock:
            breaker = self._breakers.get(name)
            if breaker is None or breaker.opened_at is None:
                return True
            if breaker.trying or time.monotonic() - breaker.opened_at < open_for.total_seconds():
                return False
            breaker.trying = True
            return True

    def tell(self, name: str, *, failed: bool, most: int) -> None:
        """How a call went; `most` failures in a row open the breaker."""
        with self._lock:
            if not failed:
                self._breakers.pop(name, None)
                return
            breaker = self._breakers.setdefault(name, _Breaker())
            breaker.failures += 1
            breaker.trying = False
            if breaker.failures >= most:
                breaker.opened_at = time.monotonic()

    def leave(self, name: str) -> None:
        """A call that was let through says nothing about the model: it was cancelled, say."""
        with self._lock:
            if (breaker := self._breakers.get(name)) is not None:
                breaker.trying = False


breakers: ContextVar[Breakers | None] = ContextVar("perdure_breakers", default=None)
"""The worker's, while an attempt of a node runs."""
