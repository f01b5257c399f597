"""Metrics of a process of `perdure`: those of Temporal's SDK and Perdure's own, through the SDK's one exporter. Side: cli.

For Prometheus to fetch (`--metrics HOST:PORT`), else to an OTLP collector by the standard `OTEL_*` variables, else where the
process's own HTTP server on loopback reads them (`/metrics`), else nowhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import MetricMeter
from temporalio.runtime import OpenTelemetryConfig, PrometheusConfig, Runtime, TelemetryConfig

from perdure.cli.process_gauges import ProcessGauges
from perdure.client.census import Census
from perdure.client.client import PerdureClient
from perdure.errors import ConfigError

__all__ = ["Exported", "export_metrics", "measured"]

# A step takes from milliseconds (code) to days (a person); a history may have 50 MB.
_BUCKETS = {
    "perdure_step_latency": [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 3600, 21600, 86400, 604800],
    "perdure_http_latency": [0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60],
    "perdure_history_bytes": [10_000, 50_000, 100_000, 500_000, 1e6, 5e6, 10e6, 20e6, 50e6],
}


@dataclass(frozen=True)
class Exported:
    """Whether there is anything that metrics are exported to, and the `url` where this process itself can read them."""

    on: bool
    url: str | None = None


def export_metrics(place: str | None, *, api: str | None = None) -> Exported:
    """Before this process connects.

    Args:
        place: host and port for Prometheus.
        api: where the HTTP server of this process listens; on loopback it has `/metrics` without being told so.

    Raises:
        ConfigError: for a place that is none, or is taken.
    """
    if place is not None:
        _install(_prometheus(place))
        return Exported(on=True, url=_url(place))
    if (collector := _otlp()) is not None:
        _install(collector)
        return Exported(on=True)
    if api is not None and _is_loopback(api):
        place = _free_place()
        _install(_prometheus(place))
        return Exported(on=True, url=_url(place))
    return Exported(on=False)


@asynccontextmanager
async def measured(client: Client, exported: Exported) -> AsyncGenerator[MetricMeter | None]:
    """While the block runs, count threads and what this process takes, if anybody reads the metrics; what more can be
    measured with."""
    if not exported.on:
        yield None
        return
    meter = Runtime.default().metric_meter
    tasks = [
        asyncio.create_task(Census(PerdureClient(client), meter).run()),
        asyncio.create_task(ProcessGauges(meter).run()),
    ]
    try:
        yield meter
    finally:
        for task in tasks:
            task.cancel()


def _install(config: PrometheusConfig | OpenTelemetryConfig) -> None:
    try:
        runtime = Runtime(telemetry=TelemetryConfig(metrics=config))
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"metrics cannot be exported: {error}") from error
    Runtime.set_default(runtime, error_if_already_set=False)


def _url(place: str) -> str:
    host, _, port = place.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"http://{host}:{port}/metrics"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _free_place() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _prometheus(place: str) -> PrometheusConfig:
    host, _, port = place.rpartition(":")
    if not (host and port.isdecimal()):
        raise ConfigError(f"--metrics is {place!r}: write HOST:PORT")
    return PrometheusConfig(
        bind_address=place,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=_BUCKETS,
    )


def _otlp() -> OpenTelemetryConfig | None:
    exporter = os.environ.get("OTEL_METRICS_EXPORTER") or "otlp"
    own = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    url = own or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if exporter != "otlp" or not url or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL")
    protocol = protocol or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    http = protocol != "grpc"
    if http and not own:
        url = f"{url.rstrip('/')}/v1/metrics"
    return OpenTelemetryConfig(
        url=url,
        http=http,
        headers=_headers(),
        metric_periodicity=_interval(),
        durations_as_seconds=True,
        histogram_bucket_overrides=_BUCKETS,
    )


def _interval() -> timedelta:
    told = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL") or "60000"
    if not told.isdecimal() or int(told) == 0:
        raise ConfigError(f"OTEL_METRIC_EXPORT_INTERVAL is {told!r}: write milliseconds")
    return timedelta(milliseconds=int(told))


def _headers() -> dict[str, str]:
    told = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_HEADERS") or os.environ.get(
        "OTEL_EXPORTER_OTLP_HEADERS"
    )
    pairs = (pair.partition("=") for pair in (told or "").split(",") if "=" in pair)
    return {name.strip(): value.strip() for name, _, value in pairs}
