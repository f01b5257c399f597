"""Connecting to Temporal, by its own configuration: arguments ▸ environment variables ▸ TOML profile ▸ localhost:7233.

Side: client.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import temporalio.client
from temporalio.client import Client
from temporalio.converter import DataConverter, ExternalStorage
from temporalio.envconfig import ClientConfigProfile
from temporalio.service import RPCError

from perdure.client.client import PerdureClient
from perdure.contract import names
from perdure.contract.limits import RunLimits
from perdure.errors import ConfigError, ServerUnreachable
from perdure.payloads import TypeRegistry, data_converter
from perdure.storage.external import external_storage

__all__ = ["connect", "connect_temporal"]


async def connect(
    address: str | None = None,
    *,
    namespace: str | None = None,
    profile: str | None = None,
    config_file: str | Path | None = None,
    task_queue: str = names.DEFAULT_TASK_QUEUE,
    plugins: Sequence[temporalio.client.Plugin] = (),
    payloads: str | ExternalStorage | None = None,
    wait: timedelta | None = None,
    limits: RunLimits | None = None,
) -> PerdureClient:
    """Connect to Temporal. What is not given here comes from Temporal's own environment configuration: `TEMPORAL_ADDRESS`,
    `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS_*`, or a profile in its TOML file.

    Without a plugin of the graphs' types, values of the user's own classes are shown as plain dicts.

    Args:
        address: "host:port".
        profile: a profile of the TOML file; default "default".
        config_file: the TOML file; default Temporal's own place for it.
        task_queue: where the workers of the graphs listen.
        plugins: usually the `PerdurePlugin` that has the graphs.
        payloads: where large payloads are kept, the same as for the workers: "file:///folder", "s3://bucket/prefix",
            "none", or an `ExternalStorage`; default: what the plugin says, else `PERDURE_PAYLOADS`.
        wait: go on trying for this long while no server answers (a worker that starts before its server).
        limits: of runs that name none of their own.

    Raises:
        ServerUnreachable: when nothing answers. ConfigError: when the configuration cannot be read.
    """
    client = await connect_temporal(
        address,
        namespace=namespace,
        profile=profile,
        config_file=config_file,
        plugins=plugins,
        payloads=payloads,
        wait=wait,
    )
    return PerdureClient(client, task_queue=task_queue, limits=limits)


async def connect_temporal(
    address: str | None = None,
    *,
    namespace: str | None = None,
    profile: str | None = None,
    config_file: str | Path | None = None,
    plugins: Sequence[temporalio.client.Plugin] = (),
    payloads: str | ExternalStorage | None = None,
    wait: timedelta | None = None,
) -> Client:
    """As `connect`, for those who need Temporal's client."""
    options = _options(profile, config_file)
    if address:
        options["target_host"] = address
    if namespace:
        options["namespace"] = namespace
    options.setdefault("target_host", "localhost:7233")
    if not plugins:
        options["data_converter"] = _showing(external_storage(payloads))
    elif payloads is not None:
        options["data_converter"] = DataConverter(external_storage=external_storage(payloads))
    give_up = asyncio.get_running_loop().time() + (wait.total_seconds() if wait else 0.0)
    while True:
        try:
            return await Client.connect(**options, plugins=list(plugins))
        except (RuntimeError, RPCError) as error:
            if asyncio.get_running_loop().time() >= give_up:
                raise ServerUnreachable(
                    f"no Temporal server answers at {options['target_host']!r}: start one (`perdure dev`), or set "
                    f"TEMPORAL_ADDRESS ({_first_line(error)})"
                ) from error
        await asyncio.sleep(0.5)


def _options(profile: str | None, config_file: str | Path | None) -> dict[str, Any]:
    try:
        source = Path(config_file) if config_file is not None else None
        loaded = ClientConfigProfile.load(profile=profile, config_source=source)
        return dict(loaded.to_client_connect_config())
    except Exception as error:
        raise ConfigError(f"Temporal's client configuration cannot be read: {_first_line(error)}") from error


def _showing(storage: ExternalStorage) -> DataConverter:
    return replace(data_converter(TypeRegistry(), lenient=True), external_storage=storage)


def _first_line(error: BaseException) -> str:
    """The SDK's core shows its causes in Rust's debug form; the operating system's own words are the last of them."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    said: list[str] = re.findall(r'message: "([^"]+)"', text)
    return said[-1] if said else text[:200]
