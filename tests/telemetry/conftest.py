"""A collector on loopback that speaks OTLP over HTTP, with OpenTelemetry's own protobuf; and trees of what it got."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


@dataclass(frozen=True)
class Span:
    """As it came over the wire."""

    name: str
    trace: str
    id: str
    parent: str
    links: list[str]
    start: int
    end: int
    failed: bool
    said: str
    attributes: dict[str, Any]
    service: str


@dataclass
class Collector:
    url: str
    raw: list[bytes] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)

    def take(self, body: bytes) -> None:
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {item.key: _value(item.value) for item in resource.resource.attributes}["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_span(span, service) for span in scope.spans]

    def measure(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics |= {metric.name for metric in scope.metrics}

    def tree(self, *attributes: str) -> list[str]:
        """A line for each span, indented below its parent, in the order in which they began."""
        known = {span.id for span in self.spans}
        lines: list[str] = []

        def show(span: Span, depth: int) -> None:
            told = [f"{name}={span.attributes[name]}" for name in attributes if name in span.attributes]
            marks = ["!"] * span.failed + ["linked"] * bool(span.links)
            lines.append("  " * depth + " ".join([span.name, *told, *marks]))
            for child in self._in_order():
                if child.parent == span.id:
                    show(child, depth + 1)

        for span in self._in_order():
            if span.parent not in known:
                show(span, 0)
        return lines

    def _in_order(self) -> list[Span]:
        # What runs one after the other can begin within a millisecond, and test servers skip time: ids are of no help.
        return sorted(self.spans, key=lambda span: (span.start, span.end))


def _span(span: Any, service: str) -> Span:
    return Span(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=[link.span_id.hex() for link in span.links],
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        failed=span.status.code == 2,
        said=span.status.message,
        attributes={item.key: _value(item.value) for item in span.attributes},
        service=service,
    )


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind or "string_value")


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            zipped = self.headers.get("content-encoding") == "gzip"
            body = gzip.decompress(body) if zipped else body
            (collected.measure if self.path == "/v1/metrics" else collected.take)(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collected = Collector(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield collected
    server.shutdown()
    server.server_close()


@pytest.fixture
def provider(collector: Collector) -> Iterator[TracerProvider]:
    """Sends to the collector; `force_flush` it before looking."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{collector.url}/v1/traces")))
    yield provider
    provider.shutdown()
