"""A worker process for a set of graphs: connect, poll, stop when asked.

Side: worker. Owns the worker's settings and its life; `perdure worker` and `perdure dev` run it.

It may be started before its server: the first connect goes on trying. It outlives its server: the SDK goes on polling, one
line is logged when the server goes and one when it is back. On SIGTERM or SIGINT it takes no new work and gives the node
calls under way `graceful` to end; what does not end in time is cancelled, and Temporal has it tried again elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from perdure.client.connect import connect_temporal
from perdure.contract import names
from perdure.errors import ServerUnreachable
from perdure.worker.plugin import PerdurePlugin

__all__ = ["run_worker"]

_log = logging.getLogger(__name__)

_HEALTH_EVERY = timedelta(seconds=2)


async def run_worker(
    graphs: Mapping[str, Any] | PerdurePlugin,
    *,
    address: str | None = None,
    namespace: str | None = None,
    profile: str | None = None,
    config_file: str | Path | None = None,
    task_queue: str = names.DEFAULT_TASK_QUEUE,
    max_concurrent_activities: int = 100,
    max_cached_workflows: int = 500,
    threads: int = 64,
    graceful: timedelta = timedelta(seconds=10),
    wait: timedelta = timedelta(minutes=5),
    on_ready: Callable[[Client], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run a worker until SIGTERM, SIGINT or `stop`. Call it in the main thread.

    Args:
        graphs: compiled graphs by name, or the plugin that has them.
        address, namespace, profile, config_file: as for `perdure.connect`.
        max_concurrent_activities: how many node calls run here at a time.
        max_cached_workflows: how many threads are kept in memory between their steps; any other is replayed.
        threads: how many sync nodes run at a time.
        graceful: how long node calls that are under way may take to end.
        wait: how long to go on trying while no server answers at the start.
        on_ready: called once the worker polls.
        stop: set it to end the worker from within the process.

    Raises:
        ServerUnreachable: after `wait`. ConfigError: for what is not a compiled graph.
    """
    plugin = graphs if isinstance(graphs, PerdurePlugin) else PerdurePlugin(graphs)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(threads, thread_name_prefix="perdure-node"))
    stopped = stop or asyncio.Event()
    with _stop_signals(loop, stopped):
        connect = {"namespace": namespace, "profile": profile, "config_file": config_file, "plugins": [plugin]}
        client = await _unless(stopped, _connect(address, wait, **connect))
        if client is None:
            return
        worker = Worker(
            client,
            task_queue=task_queue,
            max_concurrent_activities=max_concurrent_activities,
            max_cached_workflows=max_cached_workflows,
            graceful_shutdown_timeout=graceful,
        )
        async with _watched(client):
            running = asyncio.create_task(worker.run())
            if on_ready is not None:
                on_ready(client)
            await _unless(stopped, asyncio.shield(running))
            await worker.shutdown()
            await running
