"""A dev server, a worker and the HTTP server, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
from langgraph.store.memory import InMemoryStore
from sdk_graphs import graphs
from temporalio.worker import Worker

from perdure.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.contract import names
from perdure.devserver import DevServer
from perdure.server.app import create_app
from perdure.server.backend import Backend
from perdure.streams import MemoryBroker
from perdure.worker.plugin import PerdurePlugin

__all__ = ["Stack", "free_port", "serving"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class serving:
    """A uvicorn server, for as long as the block runs."""

    def __init__(self, app: Any) -> None:
        self.port = free_port()
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self.port, log_level="warning", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)

    async def __aenter__(self) -> str:
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        return f"http://127.0.0.1:{self.port}"

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._task


class Stack:
    """`url` is the HTTP server's, `address` Temporal's."""

    def __init__(self, folder: Path, served: Mapping[str, Any] | None = None) -> None:
        self._folder = folder
        self._graphs = served or graphs()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self.url = ""
        self.address = ""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="stack")

    def __enter__(self) -> Stack:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                await self._start(stack.enter_async_context)
                self._ready.set()
                await self._stop.wait()
        except BaseException as error:
            self._error = error
            self._ready.set()

    async def _start(self, enter: Callable[[Any], Any]) -> None:
        broker = MemoryBroker()
        self.broker = broker
        plugin = PerdurePlugin(
            self._graphs, payloads=(self._folder / "payloads").as_uri(), store=InMemoryStore(), broker=broker
        )
        server = await enter(
            DevServer(
                directory=self._folder,
                port=None,
                ui_port=None,
                http_port=None,
                in_memory=True,
                search_attributes=names.SEARCH_ATTRIBUTES,
            )
        )
        self.address = server.address
        client = await connect_temporal(server.address, plugins=[plugin])
        await enter(Worker(client, task_queue="sdk", graceful_shutdown_timeout=timedelta(0)))
        self.backend = Backend(PerdureClient(client, task_queue="sdk"), plugin.registry, plugin.store, broker)
        self.url = await enter(serving(create_app(self.backend)))

    @contextmanager
    def serving(self, **options: Any) -> Iterator[str]:
        """One more HTTP server on the same backend, with `create_app`'s options; its URL."""
        server = serving(create_app(self.backend, **options))
        yield self.do(server.__aenter__())
        self.do(server.__aexit__())

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait, in another thread, for work in the stack's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)
