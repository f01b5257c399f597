"""`perdure worker`: a worker process for the project's graphs. Side: cli."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client

from perdure.activities.prices import missing_prices
from perdure.cli.connection import find_project, open_temporal, server_directory, target_of
from perdure.cli.console import stderr
from perdure.cli.http import http_server
from perdure.cli.metrics import export_metrics, measured
from perdure.cli.settings import OK, Reconcile, Settings
from perdure.cli.telemetry import telemetry
from perdure.cli.worker_log import log_to_stderr
from perdure.client.client import PerdureClient
from perdure.client.reconciler import Reconciler
from perdure.devserver.directory import ServerDirectory
from perdure.errors import ConfigError, ServerUnreachable
from perdure.graph.project import Project, load_project
from perdure.graph.project_settings import plugin_options
from perdure.storage.store import STORE_VARIABLE, StoreSetting
from perdure.streams import MemoryBroker, configured_broker
from perdure.worker.plugin import PerdurePlugin
from perdure.worker.process import run_worker

__all__ = ["WorkerOptions", "connect_waiting", "store_of", "work"]


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """The command's options; `graceful` and `wait` in seconds. `tied`: stop when stdin closes. `http`: host and port of the
    HTTP server in this process; `metrics`: where Prometheus fetches them."""

    max_activities: int
    per_second: float | None
    graceful: float
    wait: float
    reconcile: Reconcile
    tied: bool
    http: str | None = None
    metrics: str | None = None


async def work(settings: Settings, options: WorkerOptions) -> int:
    """Load the project, connect (waiting for a server that is not up yet), and work until stopped."""
    log_to_stderr(debug=settings.debug)
    project = find_project(settings) or load_project(settings.config)
    if missing := missing_prices(project.limits.runs):
        raise ConfigError(f"{missing}: pip install 'perdure[prices]'")
    async with telemetry():
        return await _work(settings, options, project)


async def _work(settings: Settings, options: WorkerOptions, project: Project) -> int:
    exported = export_metrics(options.metrics, api=options.http and options.http.rpartition(":")[0])
    broker = configured_broker() or (MemoryBroker() if options.http else None)
    plugin = PerdurePlugin(
        await project.aload(),
        store=await store_of(project),
        rate_limits=project.limits.rates,
        broker=broker,
        **await plugin_options(project),
    )
    client = await connect_waiting(settings, project, plugin, timedelta(seconds=options.wait))
    stop = asyncio.Event()
    if options.tied:
        _stop_with_stdin(asyncio.get_running_loop(), stop)
    console = stderr()

    polling = asyncio.Event()

    def ready() -> None:
        polling.set()
        graphs = ", ".join(sorted(project.graphs))
        console.print(
            f"✓ worker ready: {graphs} on task queue {settings.task_queue}", markup=False, soft_wrap=True
        )

    async with AsyncExitStack() as stack:
        looking = _reconciling(
            PerdureClient(client, task_queue=settings.task_queue), options.reconcile, polling
        )
        await stack.enter_async_context(looking)
        meter = await stack.enter_async_context(measured(client, exported))
        if options.http:
            host, _, port = options.http.rpartition(":")
            if not (host and port.isdecimal()):
                raise ConfigError(f"--http is {options.http!r}: write HOST:PORT")
            serving = http_server(
                client,
                plugin,
                task_queue=settings.task_queue,
                host=host,
                port=int(port),
                broker=broker,
                project=project,
                metrics=exported.url,
                meter=meter,
            )
            await stack.enter_async_context(serving)
        await run_worker(
            client,
            task_queue=settings.task_queue,
            max_concurrent_activities=options.max_activities,
            max_activities_per_second=options.per_second,
            graceful=timedelta(seconds=options.graceful),
            on_ready=ready,
            stop=stop,
        )
    return OK


@asynccontextmanager
async def _reconciling(
    client: PerdureClient, what: Reconcile, polling: asyncio.Event
) -> AsyncGenerator[None]:
    """Look now and then for threads that were stopped and owe compensation, once there is a worker to tell it."""
    if what == "off":
        yield
        return

    async def look() -> None:
        await polling.wait()
        await Reconciler(client, compensate=what == "compensate").run()

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()


async def store_of(project: Project) -> StoreSetting:
    """`PERDURE_STORE`, else a file in the project's data directory; with what `langgraph.json` says of it."""
    url = None
    if not os.environ.get(STORE_VARIABLE):
        directory = ServerDirectory(server_directory(project))
        directory.prepare()
        url = f"sqlite://{directory.store.as_posix()}"
    return StoreSetting(url, index=await project.aload_index(), ttl=project.store.get("ttl"))


async def connect_waiting(
    settings: Settings, project: Project, plugin: PerdurePlugin, wait: timedelta
) -> Client:
    try:
        return await open_temporal(settings, project, plugins=[plugin])
    except ServerUnreachable:
        if not wait:
            raise
    address = target_of(settings, project).address or os.environ.get("TEMPORAL_ADDRESS") or "localhost:7233"
    stderr().print(
        f"no Temporal server answers at {address} yet; waiting", style="dim", markup=False, soft_wrap=True
    )
    return await open_temporal(settings, project, plugins=[plugin], wait=wait)


def _stop_with_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """However the process at the other end of stdin dies, this one goes too."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="perdure-tied", daemon=True).start()
