"""The server that bench/server.py measures, until its standard input ends: what `perdure dev` runs, in one process; or, with the
address of a Redis, what `perdure serve` and `perdure worker` run, in two."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import served_graphs
import uvicorn
from langgraph.store.memory import InMemoryStore
from servers import dev_server
from temporalio.client import Client
from temporalio.worker import Worker

from perdure.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.server.app import create_app
from perdure.server.backend import Backend
from perdure.server.threads import ServedThreads
from perdure.streams import Broker, MemoryBroker
from perdure.streams.redis import RedisBroker
from perdure.worker.plugin import PerdurePlugin


async def all_in_one(folder: Path) -> None:
    broker = MemoryBroker()
    async with _worker(folder, broker) as (client, plugin):
        await _serve(_app(client, plugin, broker))


async def server_alone(folder: Path, broker_at: str, address: str) -> None:
    broker = RedisBroker(broker_at)
    plugin = _plugin(folder, broker)
    await _serve(_app(await connect_temporal(address, plugins=[plugin]), plugin, broker))


async def worker_alone(folder: Path, broker_at: str) -> None:
    async with _worker(folder, RedisBroker(broker_at)) as (client, _):
        sys.stdout.write(f"{client.service_client.config.target_host}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def _plugin(folder: Path, broker: Broker) -> PerdurePlugin:
    graphs = {name: getattr(served_graphs, name) for name in served_graphs.NAMES}
    payloads = (folder / "payloads").as_uri()
    return PerdurePlugin(graphs, payloads=payloads, store=InMemoryStore(), broker=broker)


@asynccontextmanager
async def _worker(folder: Path, broker: Broker) -> AsyncIterator[tuple[Client, PerdurePlugin]]:
    plugin = _plugin(folder, broker)
    async with dev_server(folder) as server:
        client = await connect_temporal(server.address, plugins=[plugin])
        async with Worker(client, task_queue="bench", graceful_shutdown_timeout=timedelta(0)):
            yield client, plugin


def _app(client: Client, plugin: PerdurePlugin, broker: Broker) -> Any:
    app: Any = create_app(
        Backend(PerdureClient(client, task_queue="bench"), plugin.registry, plugin.store, broker)
    )

    async def count() -> dict[str, Any]:
        return {"tasks": len(asyncio.all_tasks())}

    # Of no worker: a list asks no thread, and so many take their time to begin.
    threads = ServedThreads(PerdureClient(client, task_queue="bench-idle"))
    turns = asyncio.Semaphore(50)

    async def make(number: int) -> None:
        async with turns:
            metadata = {"owner": f"user-{number % 100}", "n": number}
            await threads.create(str(uuid.uuid4()), metadata, graph="one_node")

    async def make_threads(count: int) -> None:
        await asyncio.gather(*(make(number) for number in range(count)))

    app.add_api_route("/bench", count)
    app.add_api_route("/bench/threads", make_threads, methods=["POST"])
    return app


async def _serve(app: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1, backlog=2048
    )
    http = uvicorn.Server(config)
    task = asyncio.create_task(http.serve())
    while not http.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    http.should_exit = True
    await task


def main(folder: Path, broker_at: str | None = None, role: str = "server") -> None:
    """With a broker's address, Temporal and the worker are in another process."""
    if broker_at is None:
        asyncio.run(all_in_one(folder))
    elif role == "worker":
        asyncio.run(worker_alone(folder, broker_at))
    else:
        command = [sys.executable, __file__, str(folder), broker_at, "worker"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            asyncio.run(server_alone(folder, broker_at, worker.stdout.readline().strip()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
