"""A broker for one process: the worker and the HTTP server in it.

Side: both. Bounded: a thread keeps its latest events, and the threads that were last told of are kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from threading import Lock

from perdure.streams.broker import BEGIN, END, LATEST, LOST, StreamEvent, event_key

__all__ = ["MemoryBroker"]

_IDLE_SECONDS = 5.0
_MOST_RUNS = 100


class _Run:
    """`first` is the id of its beginning, if that was seen."""

    def __init__(self) -> None:
        self.first: str | None = None
        self.number = 0
        self.ended = False


class _Stream:
    def __init__(self, most_events: int) -> None:
        self.events: deque[StreamEvent] = deque(maxlen=most_events)
        self.dropped: tuple[int, int] | None = None
        self.runs: OrderedDict[str, _Run] = OrderedDict()
        self.listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def run(self, run_id: str) -> _Run:
        if run_id not in self.runs:
            self.runs[run_id] = _Run()
            if len(self.runs) > _MOST_RUNS:
                self.runs.popitem(last=False)
        return self.runs[run_id]

    def after(self, last: tuple[int, int]) -> list[StreamEvent]:
        """From the end, as who listens has mostly seen the rest."""
        fresh: list[StreamEvent] = []
        for event in reversed(self.events):
            if event_key(event.id) <= last:
                break
            fresh.append(event)
        return fresh[::-1]


class MemoryBroker:
    """Args:
    most_threads: how many threads are kept.
    most_events: how many events of each.
    """

    def __init__(self, *, most_threads: int = 1000, most_events: int = 20_000) -> None:
        self._streams: OrderedDict[str, _Stream] = OrderedDict()
        self._most_threads = most_threads
        self._most_events = most_events
        self._last = (0, 0)
        self._lock = Lock()

    def publish(
        self, thread_id: str, run_id: str, event: str, data: bytes, *, number: int | None = None
    ) -> None:
        with self._lock:
            stream = self._stream(thread_id)
            run = stream.run(run_id)
            if run.ended or (number is not None and number <= run.number):
                return
            run.number = number or run.number
            if len(stream.events) == self._most_events:
                stream.dropped = event_key(stream.events[0].id)
            told = StreamEvent(self._next_id(), event, data, run_id)
            stream.events.append(told)
            run.ended = event == END
            if event == BEGIN:
                run.first = run.first or told.id
            listeners = list(stream.listeners)
        for loop, changed in listeners:
            # The listener's loop may be closed by now.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

    async def listen(
        self, thread_id: str, run_id: str | None = None, *, after: str | None = None
    ) -> AsyncGenerator[StreamEvent | None]:
        changed = asyncio.Event()
        listener = (asyncio.get_running_loop(), changed)
        with self._lock:
            stream = self._stream(thread_id)
            stream.listeners.add(listener)
            last = self._last if after == LATEST else event_key(after)
        new = True
        try:
            while True:
                changed.clear()
                with self._lock:
                    fresh = stream.after(last)
                    lost = not new and stream.dropped is not None and last < stream.dropped
                    ended = run_id is not None and stream.run(run_id).ended
                if lost:
                    yield StreamEvent("", LOST, b"{}")
                for event in fresh:
                    if run_id in (None, event.run_id):
                        yield event
                    last = event_key(event.id)
                new = False
                if ended:
                    return
                try:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        await changed.wait()
                except TimeoutError:
                    yield None
        finally:
            with self._lock:
                stream.listeners.discard(listener)

    async def knows(self, thread_id: str, run_id: str | None = None, *, after: str | None = None) -> bool:
        with self._lock:
            stream = self._streams.get(thread_id)
            if stream is None or not stream.events:
                return False
            if after is None:
                run = stream.runs.get(run_id or "")
                after = run.first if run is not None else None
            return after is not None and event_key(after) >= (
                stream.dropped or event_key(stream.events[0].id)
            )

    async def forget(self, thread_id: str) -> None:
        with self._lock:
            stream = self._streams.get(thread_id)
            if stream is not None:
                stream.events.clear()
                stream.runs.clear()
                self._forget(thread_id)

    async def flush(self) -> None:
        """Nothing waits here."""

    def _stream(self, thread_id: str) -> _Stream:
        stream = self._streams.get(thread_id)
        if stream is None:
            stream = self._streams[thread_id] = _Stream(self._most_events)
            for known in list(self._streams):
                if len(self._streams) <= self._most_threads:
                    break
                self._forget(known)
        self._streams.move_to_end(thread_id)
        return stream

    def _forget(self, thread_id: str) -> None:
        if not self._streams[thread_id].listeners:
            del self._streams[thread_id]

    def _next_id(self) -> str:
        now = max(time.time_ns() // 1_000_000, self._last[0])
        self._last = (now, self._last[1] + 1 if now == self._last[0] else 0)
        return f"{now}-{self._last[1]}"
