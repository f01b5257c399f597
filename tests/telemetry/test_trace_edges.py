"""What stands at the edges of a run's trace: the cron that starts it, who answers it, the webhook that tells of it, a reset."""

from __future__ import annotations

import asyncio
import operator
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from opentelemetry.sdk.trace import TracerProvider
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from perdure.client import PerdureClient
from perdure.contract import names
from perdure.contract.cron import CronJob
from perdure.contract.thread import RunRequest, ThreadStart
from perdure.graph.webhook_policy import webhook_policy
from perdure.testing import PerdureEnvironment

if TYPE_CHECKING:
    from conftest import Collector


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def graph() -> Any:
    builder = StateGraph(State)
    builder.add_node("prepare", lambda state: {"log": ["prepared"]})
    builder.add_node("ask", lambda state: {"log": [interrupt("go on?")]})
    builder.add_edge(START, "prepare")
    builder.add_edge("prepare", "ask")
    return builder.compile()


@pytest.fixture
def receiver() -> Iterator[tuple[str, threading.Event]]:
    """Where webhooks go, and whether one has come."""
    told = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            told.set()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/", told
    server.shutdown()
    server.server_close()


async def reset(env: PerdureEnvironment, thread: str) -> None:
    """To where its first node is done."""
    history = await env.client.get_workflow_handle(thread).fetch_history()
    tasks = [
        event.event_id
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    await env.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=env.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=thread, run_id=history.run_id),
            reason="to see what happens",
            workflow_task_finish_event_id=tasks[1],
            request_id="reset",
        )
    )


async def ended(provider: TracerProvider, collector: Collector, *names: str) -> list[Any]:
    """The spans, once there are those (a workflow's result is known before its worker has told of its last task)."""
    async with asyncio.timeout(60):
        while True:
            provider.force_flush()
            if not Counter(names) - Counter(span.name for span in collector.spans):
                return list(collector.spans)
            await asyncio.sleep(0.05)


async def test_from_the_cron_to_the_webhook(
    collector: Collector, provider: TracerProvider, receiver: tuple[str, threading.Event]
) -> None:
    url, told = receiver
    policy = webhook_policy({"url": {"allowed_domains": ["localhost"]}})
    options: dict[str, Any] = {"time_skipping": False, "tracer_provider": provider, "webhooks": policy}
    async with PerdureEnvironment.start({"g": graph()}, **options) as env:
        request = RunRequest(id="", input={"log": []}, graph="g", webhook=url)
        start = ThreadStart(graph="", keep_open=True, metadata={})
        job = CronJob("nightly", "g", "0 3 * * *", request, start, thread_id=None)
        run_id = await env.client.execute_workflow(
            names.CRON_WORKFLOW, job, id="cron", task_queue=env.task_queue
        )
        client = PerdureClient(env.client, task_queue=env.task_queue, tracer_provider=provider)
        found: list[str] = []
        while not found:
            found = [thread.thread_id async for thread in client.list()]
        run = await client.handle(found[0])
        [pending] = await run.wait_for_approvals()
        await run.resume({pending.id: "yes"})
        assert await asyncio.to_thread(told.wait, 60)
        spans = await ended(provider, collector, "invoke_agent g", "attempt webhook")
    assert collector.tree("perdure.cron", "perdure.outcome") == [
        "cron g perdure.cron=nightly",
        "  invoke_agent g perdure.outcome=completed",
        "    node prepare",
        "      attempt prepare",
        "    node ask",
        "      attempt ask",
        "    wait linked",
        "    node ask",
        "      attempt ask",
        "    attempt webhook",
        "resume",
    ]
    by_name = {span.name: span for span in spans}
    assert by_name["wait"].links == [by_name["resume"].id]
    assert by_name["cron g"].attributes["perdure.run"] == run_id
    assert {span.attributes["gen_ai.conversation.id"] for span in spans} == {found[0]}


@pytest.mark.parametrize("over", [False, True], ids=["under way", "over"])
async def test_a_reset_makes_no_span_of_an_id_that_there_was(
    collector: Collector, provider: TracerProvider, over: bool
) -> None:
    options: dict[str, Any] = {"time_skipping": False, "tracer_provider": provider}
    async with PerdureEnvironment.start({"g": graph()}, **options) as env:
        run = await env.start("g", {"log": []}, thread_id="t")
        [pending] = await run.wait_for_approvals()
        if over:
            await run.resume({pending.id: "yes"})
            await run.result()
            await ended(provider, collector, "invoke_agent g")
        await reset(env, "t")
        again = await env.perdure.handle("t")
        [pending] = await again.wait_for_approvals()
        await again.resume({pending.id: "yes"})
        assert (await again.result())["log"] == ["prepared", "yes"]
        runs = ["invoke_agent g"] * (2 if over else 1)
        spans = await ended(provider, collector, *runs)
    assert len({span.id for span in spans}) == len(spans)
    assert len({span.trace for span in spans}) == 1
    told = sorted((span for span in spans if span.name == "invoke_agent g"), key=lambda span: span.start)
    assert len(told) == len(runs)
    assert len(told[-1].links) == 1
    if over:
        assert told[1].links == [told[0].id]
        assert {span.parent for span in spans if span.name.startswith("node")} == {run.id for run in told}
