"""Attempts that only wait for their tasks, so that a worker may give their places to others.

Side: activities; one per worker. Without it a worker whose places are all taken by waiting attempts would never run the
tasks that those wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["Lending"]


class Lending:
    """Safe to use from any thread."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    @property
    def count(self) -> int:
        """How many attempts wait now."""
        return self._count

    def listen(self, listener: Callable[[], None]) -> None:
        """`listener` is called whenever one more attempt waits."""
        self._listeners.append(listener)

    @contextmanager
    def lent(self) -> Generator[None]:
        """The attempt waits."""
        with self._lock:
            self._count += 1
        for listener in list(self._listeners):
            listener()
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
