"""Many clients at once: nothing is lost, nothing changes places, and who goes away leaves nothing behind. bench/server.py does
it with more of them."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import httpx

RUNS, EVENTS, CLIENTS = 12, 40, 100


async def tasks_of(stack: Any) -> int:
    async def count() -> int:
        return len(asyncio.all_tasks())

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(count(), stack._loop))


async def until_as_few_as(tasks: int, stack: Any) -> None:
    async with asyncio.timeout(60):
        while await tasks_of(stack) > tasks:  # noqa: ASYNC110 - they are the server's
            await asyncio.sleep(0.1)


async def test_concurrent_streams_are_complete_and_in_order(stack: Any) -> None:
    body = {"assistant_id": "counting", "input": {"log": [EVENTS]}, "stream_mode": "custom"}

    async def told(http: httpx.AsyncClient) -> list[Any]:
        async with http.stream("POST", "/runs/stream", json=body) as answer:
            lines = [line async for line in answer.aiter_lines()]
        events = pairwise(lines)
        return [json.loads(data[6:]) for event, data in events if event == "event: custom"]

    async with httpx.AsyncClient(base_url=stack.url, timeout=120) as http:
        streams = await asyncio.gather(*(told(http) for _ in range(RUNS)))
    assert streams == [list(range(EVENTS))] * RUNS


async def test_clients_that_go_away_leave_nothing_behind(stack: Any) -> None:
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as http:
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        body = {"assistant_id": "slow", "input": {"log": ["slow"]}}
        run = (await http.post(f"/threads/{thread}/runs", json=body)).json()["run_id"]
        before = await tasks_of(stack)
        there = asyncio.Semaphore(0)

        async def listen() -> None:
            async with http.stream("GET", f"/threads/{thread}/runs/{run}/stream") as answer:
                async for _ in answer.aiter_bytes():
                    there.release()

        clients = [asyncio.create_task(listen()) for _ in range(CLIENTS)]
        for _ in clients:
            await there.acquire()
        assert await tasks_of(stack) > before
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        # Their tasks, not those that the run itself has begun meanwhile.
        await until_as_few_as(before + CLIENTS // 10, stack)
        assert (await http.get(f"/threads/{thread}/runs/{run}")).json()["status"] == "running"
        await http.post(f"/threads/{thread}/runs/{run}/cancel?wait=1")
