"""The life of a worker process: poll until asked to stop.

Side: worker. Owns the worker's settings, its signals and what it logs; `perdure worker` and `perdure dev` run it.

It outlives its server: the SDK goes on polling, one line is logged when the server goes and one when it is back. On SIGTERM
or SIGINT it takes no new work and gives the node calls under way `graceful` to end; what does not end in time is cancelled,
and Temporal has it tried again elsewhere. A second signal changes nothing: who cannot wait kills the process, which is safe.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from perdure.contract import names

__all__ = ["run_worker"]

_log = logging.getLogger(__name__)

_HEALTH_EVERY = timedelta(seconds=2)
_HEALTH_TIMEOUT = timedelta(seconds=5)
# One late answer is a busy machine.
_FAILURES = 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def run_worker(
    client: Client,
    *,
    task_queue: str = names.DEFAULT_TASK_QUEUE,
    max_concurrent_activities: int = 100,
    max_activities_per_second: float | None = None,
    max_cached_workflows: int = 500,
    threads: int = 64,
    graceful: timedelta = timedelta(seconds=10),
    on_ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run a worker until SIGTERM, SIGINT or `stop`. Needs the main thread, for the signals.

    Args:
        client: connected with the `PerdurePlugin` that has the graphs.
        max_concurrent_activities: how many node calls run here at a time.
        max_activities_per_second: how many node calls begin a second on the task queue, by all its workers; the server keeps it,
            with what the worker said that came last.
        max_cached_workflows: how many threads stay in memory between their steps; any other is replayed.
        threads: how many sync nodes run at a time.
        graceful: how long node calls that are under way may take to end.
        on_ready: called once the worker polls.
        stop: set it to end the worker from within the process.

    Raises:
        RuntimeError: when the worker cannot go on, such as for a namespace that does not exist.
        ConfigError: when payloads or store cannot be used.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(threads, thread_name_prefix="perdure-node"))
    stopped = stop or asyncio.Event()
    worker = Worker(
        client,
        task_queue=task_queue,
        max_concurrent_activities=max_concurrent_activities,
        max_task_queue_activities_per_second=max_activities_per_second,
        max_cached_workflows=max_cached_workflows,
        graceful_shutdown_timeout=graceful,
    )
    with _stop_signals(loop, stopped):
        async with _watched(client):
            running = asyncio.create_task(worker.run())
            await _until_polling(worker, running)
            _leave_alone_what_stays()
            if on_ready is not None and not running.done():
                on_ready()
            await _first(running, stopped)
            if not running.done():
                await worker.shutdown()
            await running


async def _until_polling(worker: Worker, running: asyncio.Task[Any]) -> None:
    while not (worker.is_running or running.done()):  # noqa: ASYNC110 - the SDK has no event for it
        await asyncio.sleep(0.01)


def _leave_alone_what_stays() -> None:
    """Have the garbage collector look at what comes from now on. Modules and graphs are some hundred thousand objects that never
    go away; to look through them takes a tenth of a second, again and again."""
    gc.collect()
    gc.freeze()


async def _first(running: asyncio.Task[Any], stopped: asyncio.Event) -> None:
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


@contextmanager
def _stop_signals(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> Generator[None]:
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _watched(client: Client) -> AsyncGenerator[None]:
    task = asyncio.create_task(_log_outages(client))
    try:
        yield
    finally:
        task.cancel()


async def _log_outages(client: Client) -> None:
    address = client.service_client.config.target_host
    failures = 0
    while True:
        await asyncio.sleep(_HEALTH_EVERY.total_seconds())
        if await _answers(client):
            if failures >= _FAILURES:
                _log.warning("Temporal at %s answers again", address)
            failures = 0
            continue
        failures += 1
        if failures == _FAILURES:
            _log.warning("Temporal at %s does not answer; the worker goes on trying", address)


async def _answers(client: Client) -> bool:
    try:
        return await client.service_client.check_health(timeout=_HEALTH_TIMEOUT)
    except RPCError:
        return False
