"""The server that bench/server.py measures: what `perdure dev` runs, in one process, until its standard input ends."""

from __future__ import annotations

import asyncio
import socket
import sys
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import served_graphs
import uvicorn
from langgraph.store.memory import InMemoryStore
from temporalio.worker import Worker

from perdure.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.contract import names
from perdure.devserver import DevServer
from perdure.server.app import create_app
from perdure.server.backend import Backend
from perdure.server.threads import ServedThreads
from perdure.streams import MemoryBroker
from perdure.worker.plugin import PerdurePlugin


async def main(folder: Path) -> None:
    graphs = {name: getattr(served_graphs, name) for name in served_graphs.NAMES}
    broker = MemoryBroker()
    payloads = (folder / "payloads").as_uri()
    plugin = PerdurePlugin(graphs, payloads=payloads, store=InMemoryStore(), broker=broker)
    server = DevServer(
        directory=folder,
        port=None,
        ui_port=None,
        http_port=None,
        search_attributes=names.SEARCH_ATTRIBUTES,
    )
    async with server:
        client = await connect_temporal(server.address, plugins=[plugin])
        async with Worker(client, task_queue="bench", graceful_shutdown_timeout=timedelta(0)):
            backend = Backend(
                PerdureClient(client, task_queue="bench"), plugin.registry, plugin.store, broker
            )
            app = create_app(backend)

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
            await _serve(app)


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


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
