"""The life of a worker: it starts, stops when asked, lets node calls end, and outlives its server."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from temporalio.client import Client
from typing_extensions import TypedDict

from perdure.client import PerdureClient
from perdure.devserver import DevServer
from perdure.worker.plugin import PerdurePlugin
from perdure.worker.process import run_worker


class State(TypedDict):
    text: str


# A worker that stops in the middle of a run drops the workflow; Python then reports LangGraph's suspended generators.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _collect_dropped_workflows() -> Iterator[None]:
    yield
    gc.collect()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not condition():  # noqa: ASYNC110 - other tasks and processes change it
            await asyncio.sleep(0.05)


def graph_of(node: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


@asynccontextmanager
async def served(
    directory: Path, node: Any, *, in_memory: bool = True
) -> AsyncIterator[tuple[DevServer, Client]]:
    settings: dict[str, Any] = {"port": None, "ui_port": None, "http_port": None, "in_memory": in_memory}
    async with DevServer(directory=directory, **settings) as server:
        yield server, await Client.connect(server.address, plugins=[PerdurePlugin({"g": graph_of(node)})])


async def started(client: Client, **options: Any) -> asyncio.Task[None]:
    ready = asyncio.Event()
    worker = asyncio.create_task(run_worker(client, on_ready=ready.set, **options))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({worker, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_after_the_node_call_under_way(
    tmp_path: Path, number: signal.Signals
) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def node(state: State) -> State:
        entered.set()
        await release.wait()
        return {"text": "ended in time"}

    async with served(tmp_path, node) as (_, client):
        worker = await started(client)
        run = await PerdureClient(client).start("g", {"text": ""})
        await entered.wait()
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.1)
        assert not worker.done()
        release.set()
        await worker
        worker = await started(client, stop=(stop := asyncio.Event()))
        assert await run.result() == {"text": "ended in time"}
        stop.set()
        await worker


async def test_a_node_call_that_does_not_end_in_time_is_cancelled_and_made_again(tmp_path: Path) -> None:
    attempts: list[str] = []

    async def node(state: State) -> State:
        attempts.append("begun")
        if len(attempts) == 1:
            await asyncio.sleep(3600)
        return {"text": "done"}

    async with served(tmp_path, node) as (_, client):
        stop = asyncio.Event()
        worker = await started(client, graceful=timedelta(seconds=0.1), stop=stop)
        run = await PerdureClient(client).start("g", {"text": ""})
        await until(lambda: bool(attempts))
        stop.set()
        await worker
        again = await started(client, stop=(stop := asyncio.Event()))
        assert await run.result() == {"text": "done"}
        stop.set()
        await again


async def test_it_outlives_its_server_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def node(state: State) -> State:
        return {"text": state["text"].upper()}

    async with served(tmp_path, node, in_memory=False) as (server, client):
        stop = asyncio.Event()
        worker = await started(client, stop=stop)
        perdure = PerdureClient(client)
        assert await perdure.run("g", {"text": "a"}) == {"text": "A"}
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: "does not answer" in caplog.text)
        await server.restart()
        await until(lambda: "answers again" in caplog.text)
        assert await perdure.run("g", {"text": "b"}) == {"text": "B"}
        stop.set()
        await worker


async def test_an_unknown_namespace_ends_it_at_once(tmp_path: Path) -> None:
    async with served(tmp_path, lambda state: state) as (server, _):
        plugin = PerdurePlugin({"g": graph_of(lambda state: state)})
        client = await Client.connect(server.address, namespace="elsewhere", plugins=[plugin])
        worker = await started(client)
        with pytest.raises(RuntimeError, match="elsewhere"):
            await worker
