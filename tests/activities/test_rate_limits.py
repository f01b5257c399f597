"""How often models are called: counted in memory, or by several workers in one Redis."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from temporalio.worker import Worker
from typing_extensions import TypedDict

from perdure import PerdurePlugin
from perdure.activities.rate_limits import RateLimits
from perdure.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.contract.limits import RateLimit
from perdure.devserver import DevServer
from perdure.errors import ConfigError
from perdure.testing import ScriptedChatModel

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "redis-server does not come up"
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def calls(limits: list[RateLimits], count: int, tokens: int = 0) -> float:
    """Seconds that so many calls of each take at least."""

    async def one(limit: RateLimits) -> None:
        await limit.wait("m")
        await limit.spent("m", tokens)

    start = time.monotonic()
    await asyncio.gather(*(one(limit) for limit in limits for _ in range(count)))
    return time.monotonic() - start


async def test_calls_wait_for_their_turn() -> None:
    limits = RateLimits({"m": RateLimit(requests=2, per=SECOND)})
    assert await calls([limits], 5) >= 1.9
    assert "another" not in limits


async def test_tokens_are_counted_when_they_are_known() -> None:
    limits = RateLimits({"m": RateLimit(tokens=100, per=2 * SECOND)})
    start = time.monotonic()
    for _ in range(3):
        await limits.wait("m")
        await limits.spent("m", 80)
    assert time.monotonic() - start >= 0.9


async def test_workers_share_what_they_count_in_redis(redis: str) -> None:
    limit = {"m": RateLimit(requests=2, per=SECOND)}
    workers = [RateLimits(limit, redis), RateLimits(limit, redis)]
    assert await calls(workers, 3) >= 1.9


async def test_a_store_that_does_not_answer_stops_nothing() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"redis://127.0.0.1:{nobody.getsockname()[1]}"
        limits = RateLimits({"m": RateLimit(requests=1, tokens=1)}, address)
        await calls([limits], 3, tokens=5)


def test_limits_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(ConfigError, match="nowhere://"):
        PerdurePlugin({}, rate_limits={"m": RateLimit(requests=1)}, rates="nowhere://x")
    for wrong in ({}, {"requests": 0}, {"tokens": True}, {"requests": 1, "per": timedelta(seconds=0.5)}):
        with pytest.raises(ValueError, match="RateLimit"):
            RateLimit(**wrong)  # type: ignore[arg-type]


class State(TypedDict, total=False):
    said: list[str]


class Named(ScriptedChatModel):
    model_name: str = "m"


async def test_the_model_calls_of_nodes_wait_and_threads_are_told_apart(tmp_path: Path) -> None:
    model = Named(["yes"], loop=True)

    async def node(state: State) -> State:
        return {"said": [(await model.ainvoke("x")).text for _ in range(3)]}

    def sync_node(state: State) -> State:
        return {"said": [model.invoke("x").text for _ in range(3)]}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_node("sync_node", sync_node)
    builder.add_edge(START, "node")
    builder.add_edge("node", "sync_node")
    plugin: Any = PerdurePlugin(
        {"g": builder.compile()}, rate_limits={"m": RateLimit(requests=1, per=SECOND)}, store="none"
    )
    async with DevServer(
        directory=tmp_path, port=None, ui_port=None, http_port=None, in_memory=True
    ) as server:
        client = await connect_temporal(server.address, plugins=[plugin], payloads="none")
        async with Worker(client, task_queue="q"):
            start = time.monotonic()
            run = await PerdureClient(client, task_queue="q").start("g", {}, thread_id="t")
            assert await run.result() == {"said": ["yes"] * 3}
            assert time.monotonic() - start >= 4.9
            began = (await run.handle.fetch_history()).events[0].workflow_execution_started_event_attributes
            assert began.priority.fairness_key == "t"  # which its activities inherit
