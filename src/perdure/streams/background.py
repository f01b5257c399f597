"""An event loop in a thread of its own, for what must go on whatever the threads do that use it.

Side: both. The thread starts when it is first needed, and does not keep the process alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, TypeVar

__all__ = ["BackgroundLoop"]

_T = TypeVar("_T")


class BackgroundLoop:
    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                Thread(target=self._loop.run_forever, name=self._name, daemon=True).start()
            return self._loop

    def run(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """From any thread."""
        return asyncio.run_coroutine_threadsafe(work, self.start())

    async def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """From another event loop; cancelled with who waits for it."""
        return await asyncio.wrap_future(self.run(work))
