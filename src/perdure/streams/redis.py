"""A broker for many processes: Redis Streams.

Side: both; needs the extra `perdure[redis]`. Works in a thread of its own, on two connections and some more for those who
come: one that writes, and one that waits for all who listen here.

Bounded: a thread keeps about its latest 20,000 events, and none for longer than a day after its last one. Redis may be restarted
or lose its data at any time: events wait for it (100,000 of them, or 64 MB), and what is lost is told as such. Not for Redis
Cluster.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from coredis import Redis
from coredis.exceptions import RedisError

from perdure.errors import ConfigError
from perdure.streams.background import BackgroundLoop
from perdure.streams.broker import END, LATEST, LOST, StreamEvent, event_key
from perdure.streams.redis_publisher import RedisPublisher, number_key, run_key, stream_key
from perdure.streams.redis_reader import START, RedisReader, told

__all__ = ["RedisBroker"]

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 5.0
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_PAGE = 500
_MOST_WAITING = 5000
_AT_A_TIME = 8


class _Place(NamedTuple):
    """Where a listener begins: after `start`, from Redis up to `known`. `over`: there is nothing after that."""

    start: str
    known: str
    over: bool


class RedisBroker:
    """Args:
        address: such as "redis://localhost:6379", "rediss://...", "unix:///run/redis.sock".
        keep_events: how many events a thread keeps, about.
        keep_seconds: for how long after its last one.
        most_waiting, most_waiting_bytes: of events, while Redis is away.

    Raises:
        ConfigError: when the address is none.
    """

    def __init__(
        self,
        address: str,
        *,
        keep_events: int = 20_000,
        keep_seconds: int = 86_400,
        most_waiting: int = 100_000,
        most_waiting_bytes: int = 64_000_000,
    ) -> None:
        if not address.startswith(("redis://", "rediss://", "unix://")):
            raise _no_address(address)
        self._background = BackgroundLoop("perdure-redis")
        self._client = _client(address)
        self._reader = RedisReader(_client(address))
        self._publisher = RedisPublisher(
            self._client,
            self._background,
            most_events=most_waiting,
            most_bytes=most_waiting_bytes,
            keep_events=keep_events,
            keep_seconds=keep_seconds,
        )
        self._turn = asyncio.Semaphore(_AT_A_TIME)

    def publish(
        self, thread_id: str, run_id: str, event: str, data: bytes, *, number: int | None = None
    ) -> None:
        self._publisher.publish(thread_id, run_id, event, data, number)

    async def listen(
        self, thread_id: str, run_id: str | None = None, *, after: str | None = None
    ) -> AsyncGenerator[StreamEvent | None]:
        inbox = _Inbox()
        try:
            place = await self._background.call(self._begin(thread_id, run_id, after, inbox))
            last, known = place.start, place.known
            while True:
                while event_key(last) < event_key(known):
                    page = await self._background.call(self._page(thread_id, last, known))
                    if page is None:
                        yield None
                        continue
                    for event in page:
                        if run_id in (None, event.run_id):
                            yield event
                            if run_id is not None and event.event == END:
                                return
                    last = page[-1].id if page else known
                if place.over:
                    return
                events = await inbox.take()
                if events is None:
                    known = inbox.newest
                    continue
                if not events:
                    yield None
                for event in events:
                    if event.event == LOST and not event.id:
                        last = known = START
                        yield event
                    elif event_key(event.id) > event_key(last):
                        last = event.id
                        if run_id in (None, event.run_id):
                            yield event
                            if run_id is not None and event.event == END:
                                return
        finally:
            self._background.start().call_soon_threadsafe(self._reader.remove, thread_id, inbox.put)

    async def knows(self, thread_id: str, run_id: str | None = None, *, after: str | None = None) -> bool:
        return await self._background.call(self._knows(thread_id, run_id, after))

    async def forget(self, thread_id: str) -> None:
        await self._background.call(self._delete(thread_id))

    async def flush(self) -> None:
        await self._publisher.flush()

    async def close(self) -> None:
        """Listen and publish no more."""
        await self.flush()
        await self._background.call(self._stop())

    # -- on the loop of its own -----------------------------------------------------------------------------------

    async def _begin(self, thread_id: str, run_id: str | None, after: str | None, inbox: _Inbox) -> _Place:
        start, over, newest = after if event_key(after) != event_key(None) else None, False, START
        try:
            async with self._turn:
                if run_id is not None:
                    first, ended = await self._client.hmget(run_key(thread_id, run_id), ["first", "ended"])
                    over = bool(ended)
                    start = start or (_before(first.decode()) if first else None)
                if over or after == LATEST:
                    newest = await self._newest(thread_id)
        except (RedisError, OSError) as error:
            _log.info("what is kept of thread %r is not known: %s", thread_id, error)
        if over:
            return _Place(start or START, newest, True)
        start = start or (newest if after == LATEST else START)
        return _Place(start, self._reader.add(thread_id, start, inbox.put), False)

    async def _newest(self, thread_id: str) -> str:
        entries: Any = await self._client.xrevrange(stream_key(thread_id), count=1)
        return entries[0].identifier.decode() if entries else START

    async def _page(self, thread_id: str, after: str, up_to: str) -> list[StreamEvent] | None:
        try:
            async with self._turn:
                entries: Any = await self._client.xrange(
                    stream_key(thread_id), start=f"({after}", end=up_to, count=_PAGE
                )
        except (RedisError, OSError) as error:
            _log.info("events of thread %r cannot be read: %s", thread_id, error)
            await asyncio.sleep(1)
            return None
        return [told(entry) for entry in entries]

    async def _knows(self, thread_id: str, run_id: str | None, after: str | None) -> bool:
        try:
            async with self._turn:
                if after is None:
                    first = await self._client.hget(run_key(thread_id, run_id or ""), "first")
                    after = first.decode() if first else None
                entries: Any = await self._client.xrange(stream_key(thread_id), count=1)
        except (RedisError, OSError):
            return False
        if after is None or not entries:
            return False
        return event_key(entries[0].identifier.decode()) <= event_key(after)

    async def _delete(self, thread_id: str) -> None:
        with suppress(RedisError, OSError):
            await self._client.delete([stream_key(thread_id), number_key(thread_id)])

    async def _stop(self) -> None:
        self._reader.stop()
        self._client.connection_pool.disconnect()


class _Inbox:
    """What came for one listener, in its own event loop. Bounded: who is too slow reads it from Redis again."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._events: list[StreamEvent] = []
        self._late = False
        self.newest = START

    def put(self, events: list[StreamEvent]) -> None:
        """From any thread."""
        # The listener's loop may be closed by now.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._put, events)

    async def take(self) -> list[StreamEvent] | None:
        """What came; nothing after some seconds; `None` when it was too much: it goes up to `newest`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._changed.wait()
        self._changed.clear()
        events, self._events = self._events, []
        late, self._late = self._late, False
        return None if late else events

    def _put(self, events: list[StreamEvent]) -> None:
        self._changed.set()
        if len(self._events) + len(events) > _MOST_WAITING:
            self._late = True
        self.newest = events[-1].id
        self._events = [] if self._late else [*self._events, *events]


def _client(address: str) -> Redis[bytes]:
    try:
        return Redis.from_url(
            _checked(address),
            decode_components=True,
            connect_timeout=_CONNECT_SECONDS,
            stream_timeout=_ANSWER_SECONDS,
        )
    except (ValueError, KeyError, OSError) as error:
        raise _no_address(address, str(error)) from error


def _checked(address: str) -> str:
    """With TLS, whose certificate it is counts, unless the address says that it does not: the library looks at no host name."""
    url = urlsplit(address)
    asked = dict(parse_qsl(url.query))
    if url.scheme != "rediss" or asked.get("ssl_cert_reqs") == "none":
        return address
    return urlunsplit(url._replace(query=urlencode({"ssl_check_hostname": "true", **asked})))


def _no_address(address: str, why: str = "it begins with no redis://, rediss:// or unix://") -> ConfigError:
    shown = re.sub(r"//[^@/]*@", "//***@", address)
    return ConfigError(f"no broker is at {shown!r} ({why}): give an address such as redis://localhost:6379")


def _before(event_id: str) -> str:
    head, _, tail = event_id.partition("-")
    return f"{head}-{int(tail) - 1}" if int(tail) else f"{int(head) - 1}-{2**63}"
