"""One connection that waits for the events of all threads that somebody in this process listens to.

Side: both; needs the extra `perdure[redis]`. Runs on the broker's own event loop. The wait is ended, when somebody comes, by an
entry in a stream of the reader's own.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from coredis import Redis
from coredis.exceptions import RedisError

from perdure.streams.broker import LOST, StreamEvent, event_key
from perdure.streams.redis_publisher import stream_key

__all__ = ["START", "RedisReader", "told"]

_log = logging.getLogger(__name__)

_BLOCK_MS = 5000
_ANSWER_SECONDS = 10.0
_PAGE = 500
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_LOG_EVERY = 30.0
_WAKE_SECONDS = 60
START = "0-0"

Deliver = Callable[[list[StreamEvent]], None]


class _Channel:
    """A thread that somebody listens to; `position` is the id up to which all of them were told."""

    def __init__(self, position: str) -> None:
        self.position = position
        self.listeners: set[Deliver] = set()


def told(entry: Any) -> StreamEvent:
    fields = entry.field_values
    return StreamEvent(entry.identifier.decode(), fields[b"e"].decode(), fields[b"d"], fields[b"r"].decode())


class RedisReader:
    """All of its methods are called on one event loop."""

    def __init__(self, client: Redis[bytes]) -> None:
        self._client = client
        self._channels: dict[str, _Channel] = {}
        self._wake_key = f"perdure:wake:{uuid.uuid4().hex}"
        self._woken = START
        self._task: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None
        self._awaited = False
        self._logged = 0.0

    def add(self, thread_id: str, after: str, deliver: Deliver) -> str:
        """Tell of events from now on; the id after which that begins."""
        channel = self._channels.get(thread_id)
        if channel is None:
            channel = self._channels[thread_id] = _Channel(after)
        channel.listeners.add(deliver)
        if self._task is None:
            self._task = asyncio.create_task(self._read())
        elif len(channel.listeners) == 1:
            self._wake()
        return channel.position

    def remove(self, thread_id: str, deliver: Deliver) -> None:
        channel = self._channels.get(thread_id)
        if channel is not None:
            channel.listeners.discard(deliver)
            if not channel.listeners:
                del self._channels[thread_id]

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _wake(self) -> None:
        self._awaited = True
        if self._waking is None or self._waking.done():
            self._waking = asyncio.create_task(self._send_wake())

    async def _send_wake(self) -> None:
        """Once for all who came meanwhile."""
        while self._awaited:
            self._awaited = False
            try:
                await self._client.xadd(self._wake_key, {"w": "1"})
                await self._client.expire(self._wake_key, _WAKE_SECONDS)
            except (RedisError, OSError):
                return  # the wait fails by itself then

    async def _read(self) -> None:
        """While somebody listens."""
        pause, broken = _FIRST_PAUSE, False
        while self._channels:
            try:
                if broken:
                    await self._check()
                broken = False
                await self._read_once()
                pause = _FIRST_PAUSE
            except (RedisError, OSError, TimeoutError) as error:
                broken = True
                self._log(error)
                self._client.connection_pool.disconnect()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        self._task = None

    async def _read_once(self) -> None:
        by_key = {stream_key(thread): channel for thread, channel in self._channels.items()}
        positions = {key: channel.position for key, channel in by_key.items()}
        async with asyncio.timeout(_BLOCK_MS / 1000 + _ANSWER_SECONDS):
            found: Any = await self._client.xread(
                {**positions, self._wake_key: self._woken}, count=_PAGE, block=_BLOCK_MS
            )
        for key, entries in (found or {}).items():
            if key.decode() == self._wake_key:
                self._woken = entries[-1].identifier.decode()
                continue
            self._deliver(by_key[key.decode()], [told(entry) for entry in entries])

    def _deliver(self, channel: _Channel, events: list[StreamEvent]) -> None:
        channel.position = events[-1].id or START
        for deliver in list(channel.listeners):
            deliver(events)

    async def _check(self) -> None:
        """After an outage: whoever has seen what Redis does not have any more may have missed more."""
        for thread_id, channel in list(self._channels.items()):
            if channel.position == START:
                continue
            first: Any = await self._client.xrange(stream_key(thread_id), count=1)
            last: Any = await self._client.xrevrange(stream_key(thread_id), count=1)
            seen = event_key(channel.position)
            ids = [event_key(entry.identifier.decode()) for entry in (*first, *last)]
            if not ids or not ids[0] <= seen <= ids[-1]:
                self._deliver(channel, [StreamEvent("", LOST, b"{}")])

    def _log(self, error: BaseException) -> None:
        if time.monotonic() - self._logged > _LOG_EVERY or not self._logged:
            self._logged = time.monotonic()
            _log.warning("listening waits for Redis: %s", error)
