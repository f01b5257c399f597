"""The HTTP server in a process of `perdure`. Side: cli. Needs the extra `server`."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from perdure.errors import ConfigError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from temporalio.client import Client
    from temporalio.common import MetricMeter

    from perdure.graph.project import Project
    from perdure.streams.broker import Broker
    from perdure.worker.plugin import PerdurePlugin

__all__ = ["INSTALL_HINT", "free_port", "http_server", "installed"]

INSTALL_HINT = "pip install 'perdure[server]'"
_NEIGHBOURS = 100


def installed() -> bool:
    """Whether the extra is there."""
    return all(importlib.util.find_spec(name) is not None for name in ("fastapi", "uvicorn"))


def free_port(host: str, port: int) -> int:
    """The port, or the next free one above. Raises ConfigError when there is none."""
    for candidate in range(port, min(port + _NEIGHBOURS, 65536)):
        try:
            _listening(host, candidate).close()
        except OSError:
            continue
        return candidate
    raise ConfigError(
        f"no free port for the HTTP server on {host} from {port} on: choose another with --port"
    )


@asynccontextmanager
async def http_server(
    client: Client,
    plugin: PerdurePlugin,
    *,
    task_queue: str,
    host: str,
    port: int,
    broker: Broker | None,
    project: Project,
    metrics: str | None = None,
    meter: MetricMeter | None = None,
) -> AsyncGenerator[str]:
    """Serve for as long as the block runs; the URL.

    Args:
        project: what it says of its server, `http`, `auth`, `webhooks`, `checkpointer.ttl` and the limits of runs.
        metrics: the URL of this process's metrics; none: they are not served.
        meter: what requests are measured with.

    Raises:
        ConfigError: when the extra is not installed, the port is taken, or a setting is none. GraphLoadError: when what it
            names does not load.
    """
    if not installed():
        raise ConfigError(f"the HTTP server needs more packages: {INSTALL_HINT}")
    import uvicorn

    from perdure.server.custom import living

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None]:
            yield  # they are the process's business

    app = await _application(client, plugin, task_queue, broker, project, metrics, meter)
    try:
        listening = _listening(host, port)
    except OSError as error:
        raise ConfigError(
            f"the HTTP server cannot listen on {host}:{port} ({error.strerror}): choose another with --port"
        ) from error
    async with plugin.store.opened(), living(app) as served:
        config = uvicorn.Config(served, log_level="warning", timeout_graceful_shutdown=2, lifespan="off")
        server = Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            await task


async def _application(
    client: Client,
    plugin: PerdurePlugin,
    task_queue: str,
    broker: Broker | None,
    project: Project,
    metrics: str | None,
    meter: MetricMeter | None,
) -> Starlette:
    from perdure.client import PerdureClient
    from perdure.server.app import create_app
    from perdure.server.backend import Backend
    from perdure.server.custom import load_access
    from perdure.server.http_settings import http_settings

    backend = Backend(
        PerdureClient(client, task_queue=task_queue, limits=project.limits.runs),
        plugin.registry,
        plugin.store,
        broker,
        webhooks=project.webhooks,
        ttl=project.ttl,
        metrics=metrics,
    )
    settings = http_settings(project.http)
    authenticator, custom = await load_access(project, settings)
    return create_app(backend, settings=settings, authenticator=authenticator, custom=custom, meter=meter)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)
