"""`perdure serve`: the HTTP server alone. Side: cli.

It loads the project's graphs too: what threads hold is read with their types. What runs do while they run reaches it through
the broker that the workers have, too (`PERDURE_BROKER`); without one, streams tell how runs end.
"""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta

from perdure.cli.connection import find_project
from perdure.cli.console import stderr
from perdure.cli.http import http_server
from perdure.cli.metrics import export_metrics, measured
from perdure.cli.settings import OK, Settings
from perdure.cli.telemetry import telemetry
from perdure.cli.worker import connect_waiting, store_of
from perdure.cli.worker_log import log_to_stderr
from perdure.graph.project import load_project
from perdure.streams import configured_broker
from perdure.worker.plugin import PerdurePlugin

__all__ = ["serve"]


async def serve(settings: Settings, *, host: str, port: int, wait_seconds: float, metrics: str | None) -> int:
    """Serve until SIGINT or SIGTERM."""
    log_to_stderr(debug=settings.debug)
    project = find_project(settings) or load_project(settings.config)
    exported = export_metrics(metrics, api=host)
    broker = configured_broker()
    plugin = PerdurePlugin(await project.aload(), store=await store_of(project), broker=broker)
    client = await connect_waiting(settings, project, plugin, timedelta(seconds=wait_seconds))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        telemetry(),
        measured(client, exported) as meter,
        http_server(
            client,
            plugin,
            task_queue=settings.task_queue,
            host=host,
            port=port,
            broker=broker,
            project=project,
            metrics=exported.url,
            meter=meter,
        ) as url,
    ):
        stderr().print(
            f"✓ serving {', '.join(sorted(project.graphs))} at {url}", markup=False, soft_wrap=True
        )
        await stop.wait()
    return OK
