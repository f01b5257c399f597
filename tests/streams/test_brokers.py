"""Every broker: order, coming late, coming back, bounds, publishers in other threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from coredis.exceptions import RedisError
from redis_server import RedisServer, self_signed

from perdure.streams import Broker, MemoryBroker
from perdure.streams.broker import LATEST, LOST
from perdure.streams.redis import RedisBroker


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "memory":
        yield MemoryBroker()
        return
    made = RedisBroker(request.getfixturevalue("redis").url)
    yield made
    await made.forget("t")
    await made.close()


@pytest.fixture
def run(request: pytest.FixtureRequest) -> str:
    """A run of this test alone: Redis remembers how runs ended."""
    return request.node.name


async def told(broker: Broker, run: str | None, after: str | None = None, *, most: int = 10**6) -> list[Any]:
    events: list[Any] = []
    listening: Any = broker.listen("t", run, after=after)
    async with aclosing(listening):
        async for event in listening:
            if event is not None:
                events.append(event)
            if len(events) == most:
                break
    return events


async def test_who_comes_late_gets_all_of_it_and_who_comes_back_the_rest(broker: Broker, run: str) -> None:
    broker.publish("t", run, "begin", b"b")
    for number in range(3):
        broker.publish("t", run, "values", b"%d" % number)
    broker.publish("t", run, "end", b"{}")
    await broker.flush()
    events = await told(broker, run)
    assert [event.data for event in events] == [b"b", b"0", b"1", b"2", b"{}"]
    assert await told(broker, run, events[1].id) == events[2:]
    assert await told(broker, run, events[-1].id) == []
    assert await told(broker, run, "nonsense") == events
    assert await broker.knows("t", run)
    assert await broker.knows("t", run, after=events[1].id)
    assert not await broker.knows("t", run, after="1-1")
    assert not await broker.knows("t", "other")
    assert not await broker.knows("other", run)
    await broker.forget("t")
    assert not await broker.knows("t", run)


async def test_a_run_whose_beginning_nobody_saw_is_not_known(broker: Broker, run: str) -> None:
    broker.publish("t", run, "values", b"late")
    await broker.flush()
    assert not await broker.knows("t", run)


async def test_a_listener_sees_what_another_thread_publishes(broker: Broker, run: str) -> None:
    def publish() -> None:
        for number in range(1000):
            broker.publish("t", run, "custom", b"%d" % number)
        broker.publish("t", run, "end", b"")

    listeners = [asyncio.create_task(told(broker, run)) for _ in range(3)]
    await asyncio.sleep(0)
    thread = threading.Thread(target=publish)
    thread.start()
    for listener in listeners:
        events = await listener
        assert [event.data for event in events[:-1]] == [b"%d" % number for number in range(1000)]
        assert len({event.id for event in events}) == 1001
    thread.join()


async def test_a_thread_is_one_sequence_of_all_its_runs(broker: Broker, run: str) -> None:
    broker.publish("t", run + "-0", "end", b"before")
    await broker.flush()
    live = asyncio.create_task(told(broker, None, LATEST, most=3))
    await asyncio.sleep(0.3)
    for name in ("-1", "-2"):
        broker.publish("t", run + name, "values", name.encode())
    broker.publish("t", run + "-1", "end", b"")
    assert [(event.run_id, event.data) for event in await live] == [
        (run + "-1", b"-1"),
        (run + "-2", b"-2"),
        (run + "-1", b""),
    ]
    everything = await told(broker, None, most=4)
    assert everything[0].data == b"before"
    assert await told(broker, None, everything[1].id, most=2) == everything[2:]
    assert [event.data for event in await told(broker, run + "-1")] == [b"-1", b""]


async def test_an_event_of_a_workflow_that_comes_twice_is_told_once(broker: Broker, run: str) -> None:
    for number in (1, 2, 2, 1, 3):
        broker.publish("t", run, "values", b"%d" % number, number=number)
    broker.publish("t", run, "custom", b"x")
    broker.publish("t", run, "end", b"", number=4)
    broker.publish("t", run, "values", b"late", number=5)
    await broker.flush()
    assert [event.data for event in await told(broker, run)] == [b"1", b"2", b"3", b"x", b""]


async def test_who_goes_away_and_comes_again(broker: Broker, run: str) -> None:
    for _ in range(5):
        listener = asyncio.create_task(told(broker, run))
        await asyncio.sleep(0.01)
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener
    broker.publish("t", run, "end", b"")
    assert len(await told(broker, run)) == 1


async def test_memory_keeps_so_much_and_no_more() -> None:
    broker = MemoryBroker(most_threads=2, most_events=3)
    broker.publish("t", "a", "begin", b"")
    for number in range(5):
        broker.publish("t", "a", "values", b"%d" % number)
    broker.publish("t", "a", "end", b"")
    kept = await told(broker, "a")
    assert [event.data for event in kept] == [b"3", b"4", b""]
    assert not await broker.knows("t", "a")
    assert await broker.knows("t", "a", after=kept[0].id)
    for thread in "bcd":
        broker.publish(thread, "r", "end", b"")
    assert not await broker.knows("t", "a", after=kept[0].id)


async def test_memory_says_what_a_slow_listener_has_missed() -> None:
    broker = MemoryBroker(most_events=3)
    broker.publish("t", "a", "values", b"0")
    listening: Any = broker.listen("t", "a")
    async with aclosing(listening):
        assert (await anext(listening)).data == b"0"
        for number in range(1, 6):
            broker.publish("t", "a", "values", b"%d" % number)
        assert [(await anext(listening)).event for _ in range(2)] == [LOST, "values"]


async def test_several_publishers_in_redis(redis: RedisServer, run: str) -> None:
    """Each numbers what its workflow says; what one of them took along into its death is told as lost."""
    brokers = [RedisBroker(redis.url) for _ in range(2)]
    for number, by in ((1, 0), (2, 1), (2, 0), (1, 1), (3, 1), (5, 0)):
        brokers[by].publish("t", run, "values", b"%d" % number, number=number)
        await brokers[by].flush()
    brokers[1].publish("t", run, "end", b"", number=6)
    events = await told(brokers[0], run)
    assert [event.data for event in events] == [b"1", b"2", b"3", b"{}", b"5", b""]
    assert events[3].event == LOST
    for broker in brokers:
        await broker.close()


async def test_redis_goes_and_comes_back(tmp_path: Path) -> None:
    for persistent in (True, False):
        folder = tmp_path / str(persistent)
        folder.mkdir()
        with RedisServer(folder, persistent=persistent) as server:
            publisher, reader = RedisBroker(server.url), RedisBroker(server.url)
            publisher.publish("t", "r", "begin", b"")
            publisher.publish("t", "r", "values", b"1")
            listening: Any = reader.listen("t", "r")
            events = [await anext(listening), await anext(listening)]
            server.kill()
            publisher.publish("t", "r", "values", b"2")
            await asyncio.sleep(0.3)
            server.start()
            publisher.publish("t", "r", "end", b"")
            events += [event async for event in listening if event is not None]
            lost = [] if persistent else [b"{}"]
            assert [event.data for event in events] == [b"", b"1", *lost, b"2", b""]
            assert await reader.knows("t", "r") == persistent
            for broker in (publisher, reader):
                await broker.close()


async def test_nothing_that_is_published_blocks_or_fails_while_redis_is_away(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    broker = RedisBroker(server.url, most_waiting=10)
    for number in range(30):
        broker.publish("t", "r", "values", b"%d" % number)
    assert not await broker.knows("t", "r")
    with server:
        # Besides those that wait, a few are on their way.
        kept = 10
        while (events := await told(broker, "r", most=kept + 1))[-1].event != LOST:
            kept += 1
        assert kept < 30
        assert [event.data for event in events[:-1]] == [b"%d" % number for number in range(kept)]
        await broker.close()


async def test_redis_with_tls_a_user_and_a_password(tmp_path: Path) -> None:
    tls = self_signed(tmp_path)
    user = ["--user", "perdure", "on", ">p@ss/w%rd", "~*", "&*", "+@all", "--user", "default", "off"]
    with RedisServer(tmp_path, tls=tls, more=user) as redis:
        host = redis.url.removeprefix("rediss://")
        known = f"ssl_ca_certs={tls[0]}"
        elsewhere = host.replace("127.0.0.1", "localhost")  # not in the certificate
        addresses = {
            f"rediss://perdure:p%40ss%2Fw%25rd@{host}?{known}": True,
            f"rediss://perdure:p%40ss%2Fw%25rd@{host}?ssl_cert_reqs=none": True,
            f"rediss://perdure:p%40ss%2Fw%25rd@{elsewhere}?{known}": False,
            f"rediss://perdure:p%40ss%2Fw%25rd@{host}": False,
            f"rediss://perdure:wrong@{host}?{known}": False,
            f"rediss://{host}?{known}": False,
        }
        reached = await asyncio.gather(*map(_reaches, addresses))
        assert dict(zip(addresses, reached, strict=True)) == addresses


async def _reaches(address: str) -> bool:
    """Whether what is published there can be heard."""
    broker = RedisBroker(address)
    try:
        broker.publish("t", address, "begin", b"{}")
        await broker.flush()
        return await asyncio.wait_for(broker.knows("t", address), 10)
    except (OSError, RedisError, TimeoutError):
        return False
    finally:
        await broker.close()


async def test_a_listener_that_is_too_slow_reads_the_rest_again(redis: RedisServer, run: str) -> None:
    broker = RedisBroker(redis.url)
    listening: Any = broker.listen("t", run)
    broker.publish("t", run, "values", b"first")
    events = [await anext(listening)]
    for number in range(12_000):
        broker.publish("t", run, "custom", b"%d" % number)
    broker.publish("t", run, "end", b"")
    await broker.flush()
    await asyncio.sleep(0.5)
    events += [event async for event in listening if event is not None]
    assert [event.data for event in events[1:-1]] == [b"%d" % number for number in range(12_000)]
    await broker.forget("t")
    await broker.close()


async def test_many_who_listen_are_few_connections(redis: RedisServer, run: str) -> None:
    from coredis import Redis

    broker = RedisBroker(redis.url)
    listeners = [asyncio.create_task(_of_thread(broker, f"{run}-{number}")) for number in range(300)]
    await asyncio.sleep(0.5)
    for number in range(300):
        broker.publish(f"{run}-{number}", "r", "values", b"%d" % number)
    assert await asyncio.gather(*listeners) == [b"%d" % number for number in range(300)]
    client = Redis.from_url(redis.url)
    assert len(await client.client_list()) < 20
    client.connection_pool.disconnect()
    await broker.close()


async def _of_thread(broker: Broker, thread: str) -> bytes:
    listening: Any = broker.listen(thread)
    async with aclosing(listening):
        return next(iter([event.data async for event in _first(listening)]))


async def _first(listening: Any) -> AsyncIterator[Any]:
    async for event in listening:
        if event is not None:
            yield event
            return
