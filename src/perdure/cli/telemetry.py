"""OpenTelemetry in a process of `perdure`, by the standard `OTEL_*` variables. Side: cli. Needs the extra `otel`.

On when an OTLP endpoint or `OTEL_TRACES_EXPORTER` is named. Where somebody has set a provider up already (such as
`opentelemetry-instrument perdure worker`), that one is used and left alone.

Guaranteed: a collector that is slow or gone costs spans, never a run, and at most 3 s when the process ends.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from perdure.cli.console import stderr
from perdure.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["INSTALL_HINT", "telemetry"]

INSTALL_HINT = "pip install 'perdure[otel]'"
_FLUSH_SECONDS = 3.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@asynccontextmanager
async def telemetry() -> AsyncGenerator[None]:
    """Send the traces of this process, for as long as the block runs, where that is configured.

    Raises:
        ConfigError: for an exporter or a protocol that there is not.
    """
    provider = _provider() if _wanted() else None
    try:
        yield
    finally:
        if provider is not None:
            flushing = threading.Thread(target=provider.shutdown, name="perdure-spans", daemon=True)
            flushing.start()
            flushing.join(_FLUSH_SECONDS)


def _wanted() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER")
    return exporter != "none" and (bool(exporter) or any(os.environ.get(name) for name in _ENDPOINTS))


def _provider() -> Any:
    from opentelemetry import trace

    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    try:
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter()
    except ImportError:
        stderr().print(
            f"traces are configured (OTEL_*), and not installed: {INSTALL_HINT}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
        return None
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "perdure"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    return provider


def _exporter() -> SpanExporter:
    name = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if name != "otlp":
        raise ConfigError(f"OTEL_TRACES_EXPORTER is {name!r}: otlp, console or none")
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
    protocol = protocol or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

        return OverHttp()
    raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: http/protobuf or grpc")
