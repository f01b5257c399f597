"""From any thread into Redis: a queue with bounds, worked off by one task.

Side: both; needs the extra `perdure[redis]`. One script call writes many events, and can be repeated when its answer was lost:
every event of a publisher has a number, and Redis keeps the last one by run. So do the events of workflows, whoever publishes
them. What does not fit into the queue while Redis is away is dropped; listeners are told so (`LOST`).

| key                      | holds                                                                     |
|--------------------------|---------------------------------------------------------------------------|
| `perdure:stream:THREAD`  | the thread's events                                                       |
| `perdure:run:RUN:THREAD` | the id of its beginning, its last numbers, whether it has ended           |
| `perdure:number:THREAD`  | the last number of an event of its workflow: where one is missing, its publisher was killed with it |
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from threading import Lock
from typing import Any, NamedTuple

from coredis import Redis
from coredis.exceptions import ConnectionError as RedisUnreachable
from coredis.exceptions import RedisError
from coredis.exceptions import TimeoutError as RedisSlow

from perdure.streams.background import BackgroundLoop
from perdure.streams.broker import BEGIN, END, LOST

__all__ = ["RedisPublisher", "number_key", "run_key", "stream_key"]

_log = logging.getLogger(__name__)

_SCRIPT = """
local length, seconds, publisher, BEGIN, END, LOST = unpack(ARGV, 1, 6)
local runs, threads = {}, {}

local function add(stream, run, event, data)
  return redis.call('XADD', stream, 'MAXLEN', '~', length, '*', 'r', run, 'e', event, 'd', data)
end

for i = 7, #ARGV, 6 do
  local at, run, event, data = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local number, count = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  local stream, key, thread = KEYS[at], KEYS[at + 1], KEYS[at + 2]
  local known = runs[key]
  if not known then
    local told = redis.call('HMGET', key, 'number', publisher, 'ended')
    known = {number = tonumber(told[1]) or 0, count = tonumber(told[2]) or 0, ended = told[3]}
    runs[key] = known
  end
  if not known.ended and count > known.count and (not number or number > known.number) then
    if number then
      local last = threads[thread] or tonumber(redis.call('GET', thread) or number)
      if number > last + 1 then
        add(stream, run, LOST, '{}')
      end
      threads[thread] = number
      redis.call('SET', thread, number)
    end
    local id = add(stream, run, event, data)
    known.count, known.number = count, number or known.number
    redis.call('HSET', key, 'number', known.number, publisher, count)
    if event == BEGIN then
      redis.call('HSETNX', key, 'first', id)
    elseif event == END then
      known.ended = '1'
      redis.call('HSET', key, 'ended', 1)
    end
  end
end
for _, key in ipairs(KEYS) do
  redis.call('EXPIRE', key, seconds)
end
return 1
"""

_BATCH_EVENTS = 500
_BATCH_BYTES = 1_000_000
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_TRIES = 5
_LOG_EVERY = 30.0
_FLUSH_SECONDS = 5.0
_MOST_DROPPED = 10_000


def stream_key(thread_id: str) -> str:
    return f"perdure:stream:{thread_id}"


def number_key(thread_id: str) -> str:
    return f"perdure:number:{thread_id}"


def run_key(thread_id: str, run_id: str) -> str:
    return f"perdure:run:{run_id}:{thread_id}"


class _Told(NamedTuple):
    thread_id: str
    run_id: str
    event: str
    data: bytes
    number: int | None
    nth: int


class RedisPublisher:
    """Args:
    most_events, most_bytes: of the queue.
    keep_events: how many a thread keeps in Redis, about.
    keep_seconds: after its last event.
    """

    def __init__(
        self,
        client: Redis[bytes],
        loop: BackgroundLoop,
        *,
        most_events: int,
        most_bytes: int,
        keep_events: int,
        keep_seconds: int,
    ) -> None:
        self._client = client
        self._background = loop
        self._most = (most_events, most_bytes)
        self._kept = (keep_events, keep_seconds)
        self._name = f"by:{uuid.uuid4().hex}"
        self._count = 0
        self._lock = Lock()
        self._queue: deque[_Told] = deque()
        self._bytes = 0
        self._sending = False
        # Runs of which something was dropped that nobody knows of yet.
        self._dropped: dict[tuple[str, str], int] = {}
        self._logged = 0.0

    def publish(self, thread_id: str, run_id: str, event: str, data: bytes, number: int | None) -> None:
        most_events, most_bytes = self._most
        with self._lock:
            if len(self._queue) >= most_events or self._bytes + len(data) > most_bytes:
                if len(self._dropped) < _MOST_DROPPED:
                    key = (thread_id, run_id)
                    self._dropped[key] = self._dropped.get(key, 0) + 1
                return
            self._put(thread_id, run_id, event, data, number)
            if self._sending:
                return
            self._sending = True
        self._background.run(self._send_all())

    async def flush(self) -> None:
        deadline = time.monotonic() + _FLUSH_SECONDS
        while self._sending and time.monotonic() < deadline:  # noqa: ASYNC110 - it is another loop's
            await asyncio.sleep(0.01)

    def _put(self, thread_id: str, run_id: str, event: str, data: bytes, number: int | None) -> None:
        self._count += 1
        self._queue.append(_Told(thread_id, run_id, event, data, number, self._count))
        self._bytes += len(data)

    async def _send_all(self) -> None:
        """Until nothing is left."""
        while True:
            with self._lock:
                batch = self._batch()
                self._sending = bool(batch)
            if not batch:
                return
            await self._send(batch)

    def _batch(self) -> list[_Told]:
        if not self._queue and self._dropped:
            _log.warning("%d events were not told: Redis was away for too long", sum(self._dropped.values()))
            for thread_id, run_id in self._dropped:
                self._put(thread_id, run_id, LOST, b"{}", None)
            self._dropped.clear()
        batch: list[_Told] = []
        size = 0
        while self._queue and len(batch) < _BATCH_EVENTS and size < _BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += len(batch[-1].data)
        self._bytes -= size
        return batch

    async def _send(self, batch: list[_Told]) -> None:
        keys: list[str | bytes] = []
        places: dict[tuple[str, str], int] = {}
        arguments: list[Any] = [*self._kept, self._name, BEGIN, END, LOST]
        for told in batch:
            place = (told.thread_id, told.run_id)
            if place not in places:
                places[place] = len(keys) + 1
                keys += [stream_key(told.thread_id), run_key(*place), number_key(told.thread_id)]
            number = "" if told.number is None else told.number
            arguments += [places[place], told.run_id, told.event, told.data, number, told.nth]
        pause, failures = _FIRST_PAUSE, 0
        while True:
            try:
                await self._client.eval(_SCRIPT, keys=keys, args=arguments)
            except (RedisUnreachable, RedisSlow, OSError) as error:
                self._log("events wait for Redis: %s", error)
            except RedisError as error:
                # It is there and refuses: out of memory, read-only, loading.
                failures += 1
                self._log("Redis takes no events: %s", error)
                if failures >= _TRIES:
                    self._give_up(batch)
                    return
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _give_up(self, batch: list[_Told]) -> None:
        with self._lock:
            for told in batch:
                # What tells of a loss is not told of in turn, or there would be no end.
                if told.event != LOST and len(self._dropped) < _MOST_DROPPED:
                    key = (told.thread_id, told.run_id)
                    self._dropped[key] = self._dropped.get(key, 0) + 1

    def _log(self, text: str, error: BaseException) -> None:
        if time.monotonic() - self._logged > _LOG_EVERY or not self._logged:
            self._logged = time.monotonic()
            _log.warning(text, error)
