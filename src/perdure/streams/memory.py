"""A broker for one process: the worker and the HTTP server in it.

Side: both. Bounded: a run keeps its latest events, and the runs that were last told of are kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from threading import Lock

from perdure.streams.broker import END, StreamEvent

__all__ = ["MemoryBroker"]

_IDLE_SECONDS = 5.0


class _Stream:
    def __init__(self, most_events: int) -> None:
        self.events: deque[StreamEvent] = deque(maxlen=most_events)
        self.dropped = ""
        self.number = 0
        self.ended = False
        self.listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()


class MemoryBroker:
    """Args:
    most_runs: how many runs are kept.
    most_events: how many events of each.
    """

    def __init__(self, *, most_runs: int = 1000, most_events: int = 20_000) -> None:
        self._streams: OrderedDict[str, _Stream] = OrderedDict()
        self._most_runs = most_runs
        self._most_events = most_events
        self._last = (0, 0)
        self._lock = Lock()

    def publish(self, run_id: str, event: str, data: bytes, *, number: int | None = None) -> None:
        with self._lock:
            stream = self._stream(run_id)
            if stream.ended or (number is not None and number <= stream.number):
                return
            stream.number = number or stream.number
            if len(stream.events) == self._most_events:
                stream.dropped = stream.events[0].id
            stream.events.append(StreamEvent(self._next_id(), event, data))
            stream.ended = event == END
            listeners = list(stream.listeners)
        for loop, changed in listeners:
            # The listener's loop may be closed by now.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

    async def listen(self, run_id: str, *, after: str | None = None) -> AsyncGenerator[StreamEvent | None]:
        changed = asyncio.Event()
        listener = (asyncio.get_running_loop(), changed)
        with self._lock:
            stream = self._stream(run_id)
            stream.listeners.add(listener)
        last = _key(after)
        try:
            while True:
                changed.clear()
                with self._lock:
                    fresh = [event for event in stream.events if _key(event.id) > last]
                    ended = stream.ended
                for event in fresh:
                    yield event
                    last = _key(event.id)
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

    def knows(self, run_id: str, event_id: str | None = None) -> bool:
        with self._lock:
            stream = self._streams.get(run_id)
            if stream is None or not stream.events:
                return False
            if event_id is None:
                return not stream.dropped
            first = _key(stream.events[0].id)
            return _key(event_id) >= first or (
                bool(stream.dropped) and _key(event_id) >= _key(stream.dropped)
            )

    def _stream(self, run_id: str) -> _Stream:
        stream = self._streams.get(run_id)
        if stream is None:
            stream = self._streams[run_id] = _Stream(self._most_events)
            self._forget()
        self._streams.move_to_end(run_id)
        return stream

    def _forget(self) -> None:
        for run_id in list(self._streams):
            if len(self._streams) <= self._most_runs:
                return
            if not self._streams[run_id].listeners:
                del self._streams[run_id]

    def _next_id(self) -> str:
        now = max(time.time_ns() // 1_000_000, self._last[0])
        self._last = (now, self._last[1] + 1 if now == self._last[0] else 0)
        return f"{now}-{self._last[1]}"


def _key(event_id: str | None) -> tuple[int, int]:
    """Milliseconds and a count; what is no id of ours stands before all."""
    head, _, tail = (event_id or "").partition("-")
    return (int(head), int(tail)) if head.isdecimal() and tail.isdecimal() else (0, -1)
