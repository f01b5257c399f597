"""Traces of a real worker process: to a collector over gRPC, and to one that never answers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()

    def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            told = {item.key: item.value.string_value for item in resource.resource.attributes}
            self.services.add(told["service.name"])
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def working(project: Path, address: str, env: dict[str, str], **otel: str) -> Iterator[str]:
    """Its HTTP server's URL. It must end well, and soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "perdure.cli", "--address", address, "worker", "--http", place]
    env = {**env, **otel, "PERDURE_STORE": "memory"}
    with subprocess.Popen(command, cwd=project, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "worker ready" in process.stderr.readline()
        yield f"http://{place}"
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0


def run(url: str, **headers: str) -> Any:
    body = json.dumps({"assistant_id": "asking", "input": {"text": "hi"}}).encode()
    request = Request(f"{url}/runs/wait", body, {"content-type": "application/json", **headers})
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_a_request_that_is_traced_goes_on_in_the_worker(
    project: Path, address: str, env: dict[str, str]
) -> None:
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        with working(project, address, env, **endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc") as url:
            assert run(url, traceparent=f"00-{TRACE}-{CALLER}-01")["__interrupt__"]
    finally:
        server.stop(None)
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert collector.services == {"perdure"}
    by_name = {span.name: span for span in collector.spans}
    chain = ["POST /runs/wait", "start asking", "invoke_agent asking", "node decide", "attempt decide"]
    assert sorted(by_name) == sorted(chain)
    parents = [CALLER, *(by_name[name].span_id.hex() for name in chain[:-1])]
    assert [by_name[name].parent_span_id.hex() for name in chain] == parents


def test_a_collector_that_never_answers_costs_a_run_nothing(
    project: Path, address: str, env: dict[str, str]
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with working(project, address, env, **settings) as url:
            for _ in range(3):
                assert run(url)["__interrupt__"]
