"""What a real worker process tells: traces to a collector over gRPC, metrics to Prometheus; and a collector that is silent."""

from __future__ import annotations

import json
import re
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

import perdure

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


def free_place() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def working(project: Path, address: str, env: dict[str, str], *options: str, **otel: str) -> Iterator[str]:
    """Its HTTP server's URL. It must end well, and soon."""
    place = free_place()
    command = [sys.executable, "-m", "perdure.cli", "--address", address, "worker", "--http", place, *options]
    env = {**env, **otel, "PERDURE_STORE": "memory"}
    with subprocess.Popen(command, cwd=project, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "worker ready" in process.stderr.readline()
        yield f"http://{place}"
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0


def run(url: str, assistant_id: str = "asking", **headers: str) -> Any:
    body = json.dumps({"assistant_id": assistant_id, "input": {"text": "hi"}}).encode()
    request = Request(f"{url}/runs/wait", body, {"content-type": "application/json", **headers})
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_a_request_that_is_traced_goes_on_in_the_worker(
    project: Path, address: str, env: dict[str, str]
) -> None:
    collector, metrics = Collector(), free_place()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        endpoint |= {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        with working(project, address, env, "--metrics", metrics, **endpoint) as url:
            assert run(url, traceparent=f"00-{TRACE}-{CALLER}-01")["__interrupt__"]
            assert run(url, assistant_id="plain")["log"]
            with urlopen(f"http://{metrics}/metrics") as answer:
                measured = answer.read().decode()
            with urlopen(f"{url}/metrics") as answer:
                assert "perdure_runs_total" in answer.read().decode()
    finally:
        server.stop(None)
    told = [span for span in collector.spans if span.trace_id.hex() == TRACE]
    assert collector.services == {"perdure"}
    by_name = {span.name: span for span in told}
    chain = ["POST /runs/wait", "start asking", "invoke_agent asking", "node decide", "attempt decide"]
    assert sorted(by_name) == sorted(chain)
    assert len(told) == len(chain)
    parents = [CALLER, *(by_name[name].span_id.hex() for name in chain[:-1])]
    assert [by_name[name].parent_span_id.hex() for name in chain] == parents
    assert (
        'perdure_failed_attempts_total{activity_type="perdure.run_node",graph="plain",kind="connection"'
        in measured
    )
    assert re.search(r'perdure_runs_total\{graph="asking",.*outcome="interrupted".* 1\n', measured)
    missing = {
        name for name in dashboard_metrics() if not re.search(rf"^{name}[{{ ]", measured, re.MULTILINE)
    }
    # There is none of these before there is something to count: models, tools, trouble.
    assert missing <= UNSEEN


UNSEEN = {
    "perdure_cost_microdollars_total",
    "perdure_model_calls_total",
    "perdure_oldest_question_seconds",
    "perdure_questions",
    "perdure_threads",
    "perdure_tokens_total",
    "perdure_tool_calls_total",
    "temporal_workflow_task_execution_failed_total",
}


def dashboard_metrics() -> set[str]:
    """Those that the dashboard's queries name."""
    file = Path(__file__).parents[2] / "dashboards" / "perdure.json"
    panels = json.loads(file.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    return {name for query in queries for name in re.findall(r"(?:perdure|temporal)_\w+", query)}


def test_the_dashboards_metrics_that_need_models_or_trouble_have_the_names_that_the_code_gives_them() -> None:
    source = Path(perdure.__file__).parent
    made = "".join(file.read_text() for file in source.rglob("*.py") if file.stem in ("metrics", "census"))
    for name in UNSEEN - {"temporal_workflow_task_execution_failed_total"}:
        assert f'"{name.removesuffix("_total")}"' in made or name == "perdure_oldest_question_seconds"
    assert dashboard_metrics() >= UNSEEN


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
