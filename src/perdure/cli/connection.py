"""From the global options to a project and a connected client. Side: cli.

The address: `--address` ▸ `TEMPORAL_ADDRESS` or a profile ▸ the dev server of this project's `.perdure` folder ▸ localhost:7233.
Large payloads: `PERDURE_PAYLOADS` ▸ the `.perdure` folder, where its dev server or no server in particular is meant ▸ nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import temporalio.client
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile

from perdure.cli.settings import Settings
from perdure.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.devserver import running
from perdure.devserver.directory import ServerDirectory
from perdure.errors import ConfigError
from perdure.graph.project import Project, find_config, load_project
from perdure.payloads.limits import PAYLOADS_VARIABLE

__all__ = [
    "Target",
    "find_project",
    "open_client",
    "open_temporal",
    "payloads_of",
    "pollers",
    "server_directory",
    "target_of",
]

# A poller that is alive asks again at least once a minute; those of dead workers stay listed for minutes.
_POLLER_FRESH = timedelta(seconds=75)


@dataclass(frozen=True)
class Target:
    """Which server is meant. `address` is `None` for Temporal's own default; `origin` tells a person who said so."""

    address: str | None
    namespace: str | None
    origin: str


def find_project(settings: Settings) -> Project | None:
    """The project at hand, with its `env` applied; `None` where there is none and none was named.

    Raises:
        ConfigError: when there is one and its file is wrong.
    """
    if settings.config is None and find_config(Path.cwd()) is None:
        return None
    project = load_project(settings.config)
    project.apply_env()
    return project


def server_directory(project: Project | None) -> Path:
    """Where the project's dev server lives."""
    return (project.root if project is not None else Path.cwd()) / ".perdure"


def target_of(settings: Settings, project: Project | None) -> Target:
    """Raises ConfigError when Temporal's configuration cannot be read."""
    if settings.address:
        return Target(settings.address, settings.namespace, "--address")
    if _configured_address(settings.profile):
        origin = "TEMPORAL_ADDRESS" if os.environ.get("TEMPORAL_ADDRESS") else "Temporal's configuration file"
        return Target(None, settings.namespace, origin)
    info = running(server_directory(project))
    if info is not None:
        return Target(info.address, settings.namespace or info.namespace, "this project's dev server")
    return Target(None, settings.namespace, "the default")


def _configured_address(profile: str | None) -> str | None:
    try:
        return ClientConfigProfile.load(profile=profile).address
    except RuntimeError as error:
        raise ConfigError(f"Temporal's client configuration cannot be read: {error}") from error


def payloads_of(settings: Settings, project: Project | None) -> str | None:
    """Where large payloads are kept, as a setting; `None` leaves it to the environment."""
    if os.environ.get(PAYLOADS_VARIABLE):
        return None
    directory = ServerDirectory(server_directory(project))
    address = settings.address or _configured_address(settings.profile)
    info = directory.running()
    if address is not None and (info is None or _resolved(address) != _resolved(info.address)):
        return None
    return directory.payloads(in_memory=info is not None and info.database is None).as_uri()


def _resolved(address: str) -> str:
    return address.replace("localhost:", "127.0.0.1:")


async def open_temporal(
    settings: Settings,
    project: Project | None,
    *,
    plugins: Sequence[temporalio.client.Plugin] = (),
    wait: timedelta | None = None,
) -> Client:
    """Raises ServerUnreachable when nothing answers (within `wait`)."""
    target = target_of(settings, project)
    return await connect_temporal(
        target.address,
        namespace=target.namespace,
        profile=settings.profile,
        plugins=plugins,
        payloads=payloads_of(settings, project),
        wait=wait,
    )


async def open_client(settings: Settings, project: Project | None) -> PerdureClient:
    """Raises ServerUnreachable when nothing answers."""
    temporal = await open_temporal(settings, project)
    return PerdureClient(
        temporal, task_queue=settings.task_queue, limits=project.limits.runs if project else None
    )


async def pollers(client: PerdureClient) -> tuple[int, int]:
    """How many workers poll the client's task queue: for workflow tasks, and for activities."""
    return (
        await _pollers(client, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
        await _pollers(client, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
    )


async def _pollers(client: PerdureClient, kind: TaskQueueType.ValueType) -> int:
    answer = await client.temporal.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.temporal.namespace,
            task_queue=TaskQueue(name=client.task_queue),
            task_queue_type=kind,
        )
    )
    oldest = datetime.now(UTC) - _POLLER_FRESH
    return sum(p.last_access_time.ToDatetime(tzinfo=UTC) > oldest for p in answer.pollers)
