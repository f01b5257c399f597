"""The broker of one process: order, coming late, coming back, bounds, publishers in other threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from perdure.streams import MemoryBroker


async def told(broker: MemoryBroker, run: str, after: str | None = None) -> list[Any]:
    return [event async for event in broker.listen(run, after=after) if event is not None]


async def test_who_comes_late_gets_all_of_it_and_who_comes_back_the_rest() -> None:
    broker = MemoryBroker()
    for number in range(3):
        broker.publish("r", "values", b"%d" % number)
    broker.publish("r", "end", b"{}")
    events = await told(broker, "r")
    assert [event.data for event in events] == [b"0", b"1", b"2", b"{}"]
    assert await told(broker, "r", after=events[1].id) == events[2:]
    assert await told(broker, "r", after="nonsense") == events
    assert broker.knows("r")
    assert broker.knows("r", events[1].id)
    assert not broker.knows("r", "1-1")
    assert not broker.knows("other")


async def test_a_listener_sees_what_another_thread_publishes() -> None:
    broker = MemoryBroker()

    def publish() -> None:
        for number in range(1000):
            broker.publish("r", "custom", b"%d" % number)
        broker.publish("r", "end", b"")

    listeners = [asyncio.create_task(told(broker, "r")) for _ in range(3)]
    await asyncio.sleep(0)
    thread = threading.Thread(target=publish)
    thread.start()
    for listener in listeners:
        events = await listener
        assert [event.data for event in events[:-1]] == [b"%d" % number for number in range(1000)]
        assert len({event.id for event in events}) == 1001
    thread.join()


async def test_an_event_of_a_workflow_that_comes_twice_is_told_once() -> None:
    broker = MemoryBroker()
    for number in (1, 2, 2, 1, 3):
        broker.publish("r", "values", b"%d" % number, number=number)
    broker.publish("r", "custom", b"x")
    broker.publish("r", "end", b"", number=4)
    broker.publish("r", "values", b"late", number=5)
    assert [event.data for event in await told(broker, "r")] == [b"1", b"2", b"3", b"x", b""]


async def test_it_keeps_so_much_and_no_more() -> None:
    broker = MemoryBroker(most_runs=2, most_events=3)
    for number in range(5):
        broker.publish("a", "values", b"%d" % number)
    broker.publish("a", "end", b"")
    kept = await told(broker, "a")
    assert [event.data for event in kept] == [b"3", b"4", b""]
    assert not broker.knows("a")
    assert broker.knows("a", kept[0].id)
    for run in "bcd":
        broker.publish(run, "end", b"")
    assert not broker.knows("a", kept[0].id)


async def test_who_goes_away_leaves_nothing() -> None:
    broker = MemoryBroker(most_runs=1)
    listener = asyncio.create_task(told(broker, "r"))
    await asyncio.sleep(0)
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)
    broker.publish("other", "end", b"")
    assert not broker._streams.get("r")
