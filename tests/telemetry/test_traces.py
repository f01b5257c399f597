"""Traces as a collector gets them, replayed at every workflow task: one span for each thing that happened."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypedDict

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from perdure import RunFailed
from perdure.client import PerdureClient
from perdure.telemetry.messages import CONTENT_VARIABLE
from perdure.testing import PerdureEnvironment, ScriptedChatModel, replay
from purchase.graph import graph as purchase
from purchase.services.faults import Fault
from purchase.services.server import PurchaseServices
from support import messages
from support.graph import graph as support
from support.services import SupportServices

if TYPE_CHECKING:
    from conftest import Collector

SECRET = "the customer's diagnosis"
ORDER = {"sku": "lamp", "quantity": 2, "card": "tok_visa", "address": "Kai 1, Bremen", "customer": "ines"}


TAKEN_BACK = """\
invoke_agent purchase error.type=RemoteError !
  node open
    attempt open
  node choose
    attempt choose
      chat OfflineModel
  node tools
    attempt tools
      execute_tool reserve gen_ai.tool.name=reserve
    effect tools/reserve
      attempt tools/reserve
  node choose
    attempt choose
      chat OfflineModel
  node tools
    attempt tools
      execute_tool charge gen_ai.tool.name=charge
    effect tools/charge
      attempt tools/charge error.type=HTTPStatusError !
      attempt tools/charge
  node choose
    attempt choose
      chat OfflineModel
  node tools error.type=RemoteError !
    attempt tools error.type=RemoteError !
      execute_tool ship gen_ai.tool.name=ship error.type=RemoteError !
    effect tools/ship error.type=HTTPStatusError !
      attempt tools/ship error.type=HTTPStatusError !
  undo ship
    attempt undo ship
  undo charge
    attempt undo charge
  undo reserve
    attempt undo reserve
""".splitlines()


@pytest.fixture
def weather() -> Iterator[tuple[str, list[str]]]:
    """A service that a tool asks: its URL, and the `traceparent` of each request."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["traceparent"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


def agent(url: str, provider: TracerProvider) -> Any:
    """Looks the weather up with an instrumented client, fails once, asks a person, answers."""

    @tool
    async def look(city: str) -> str:
        """Look the weather up."""
        async with httpx.AsyncClient() as client:
            HTTPXClientInstrumentor.instrument_client(client, tracer_provider=provider)
            await client.get(url)
        return "rain"

    @tool
    def ask(question: str) -> str:
        """Ask a person."""
        return interrupt({"question": question, "expires_in": None})

    def call(name: str, id: str, **arguments: str) -> AIMessage:
        usage = {"input_tokens": 30, "output_tokens": 5, "total_tokens": 35}
        told = {"finish_reason": "tool_calls", "model_name": "scripted-2"}
        calls = [{"name": name, "args": arguments, "id": id}]
        return AIMessage("", tool_calls=calls, usage_metadata=usage, response_metadata=told)

    model = ScriptedChatModel(
        [
            call("look", "c1", city="Bremen"),
            TimeoutError(),
            call("ask", "c2", question=SECRET),
            AIMessage("ok"),
        ]
    )
    return create_agent(model, [look, ask])


async def run_agent(graph: Any, provider: TracerProvider) -> None:
    async with PerdureEnvironment.start({"agent": graph}, tracer_provider=provider) as env:
        client = PerdureClient(
            env.client, task_queue=env.task_queue, limits=env.perdure.limits, tracer_provider=provider
        )
        run = await client.start(
            "agent", {"messages": [("user", SECRET)]}, thread_id="t-1", carry_every=2, keep_open=True
        )
        [pending] = await run.wait_for_approvals()
        await run.resume({pending.id: "yes"})
        await run.result()
    provider.force_flush()


async def test_a_run_is_one_trace_through_retries_questions_and_continue_as_new(
    collector: Collector, provider: TracerProvider, weather: tuple[str, list[str]]
) -> None:
    url, seen = weather
    await run_agent(agent(url, provider), provider)
    assert collector.tree("perdure.step", "perdure.attempt", "perdure.failures", "perdure.outcome") == [
        "start agent",
        "  invoke_agent agent perdure.outcome=continued as new",
        "    node model perdure.step=1",
        "      attempt model perdure.attempt=1",
        "        chat ScriptedChatModel",
        "    node tools perdure.step=2",
        "      attempt tools perdure.attempt=1",
        "        execute_tool look",
        "          GET",
        "  invoke_agent agent perdure.outcome=continued as new linked",
        "    node model perdure.step=3 perdure.failures=['timeout']",
        "      attempt model perdure.attempt=1 !",
        "        chat ScriptedChatModel !",
        "      attempt model perdure.attempt=2",
        "        chat ScriptedChatModel",
        "    node tools perdure.step=4",
        "      attempt tools perdure.attempt=1",
        "        execute_tool ask",
        "  invoke_agent agent perdure.outcome=completed linked",
        "    wait linked",
        "    node tools perdure.step=4",
        "      attempt tools perdure.attempt=1",
        "        execute_tool ask",
        "    node model perdure.step=5",
        "      attempt model perdure.attempt=1",
        "        chat ScriptedChatModel",
        "resume",
    ]
    assert len({span.id for span in collector.spans}) == len(collector.spans)
    [answer] = [span for span in collector.spans if span.name == "resume"]
    assert [span.links for span in collector.spans if span.name == "wait"] == [[answer.id]]
    [trace] = {span.trace for span in collector.spans if span is not answer}
    runs = [span for span in collector.spans if span.name == "invoke_agent agent"]
    assert [span.links for span in sorted(runs, key=lambda span: span.start)] == [
        [],
        [runs[0].id],
        [runs[1].id],
    ]
    [sent] = [span for span in collector.spans if span.name == "GET"]
    assert seen == [f"00-{trace}-{sent.id}-01"] or seen == [f"00-{trace}-{sent.id}-03"]
    chat = next(span.attributes for span in collector.spans if span.name.startswith("chat"))
    assert chat == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scriptedchatmodel",
        "gen_ai.request.model": "ScriptedChatModel",
        "gen_ai.response.model": "scripted-2",
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.conversation.id": "t-1",
    }
    look = next(span.attributes for span in collector.spans if span.name == "execute_tool look")
    assert look == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.conversation.id": "t-1",
    }
    assert SECRET.encode() not in b"".join(collector.raw)


async def test_content_is_captured_where_that_is_asked_for(
    collector: Collector,
    provider: TracerProvider,
    weather: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CONTENT_VARIABLE, "true")
    graph = agent(weather[0], provider)
    options: dict[str, Any] = {"replay_every_task": False, "tracer_provider": provider}
    async with PerdureEnvironment.start({"agent": graph}, **options) as env:
        run = await env.start("agent", {"messages": [("user", SECRET)]})
        assert await run.wait_for_approvals()
    provider.force_flush()
    told = [span.attributes for span in collector.spans if "gen_ai.input.messages" in span.attributes]
    assert SECRET in told[0]["gen_ai.input.messages"]
    assert '"tool_call"' in told[0]["gen_ai.output.messages"]
    [look] = [span.attributes for span in collector.spans if span.name == "execute_tool look"]
    assert (look["gen_ai.tool.call.arguments"], look["gen_ai.tool.call.result"]) == (
        '{"city": "Bremen"}',
        '"rain"',
    )


async def test_the_trace_of_the_support_agent(
    collector: Collector,
    provider: TracerProvider,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with SupportServices(tmp_path / "data") as services:
        monkeypatch.delenv("PERDURE_MODEL", raising=False)
        for name, value in services.env.items():
            monkeypatch.setenv(name, value)
        async with PerdureEnvironment.start({"support": support}, tracer_provider=provider) as env:
            sample = messages.DUPLICATE_CHARGE
            given = {"customer_email": sample.customer_email, "message": sample.message}
            run = await env.start("support", given, thread_id="case-7")
            [pending] = await run.wait_for_approvals()
            await run.resume({pending.id: "approve"})
            await run.result()
    provider.force_flush()
    assert collector.tree("perdure.step", "perdure.asked") == [
        "invoke_agent support",
        "  node search perdure.step=1",
        "    attempt search",
        "  node classify perdure.step=2",
        "    attempt classify",
        "      chat OfflineModel",
        "  node draft perdure.step=3",
        "    attempt draft",
        "      chat OfflineModel",
        "  node decide perdure.step=4 perdure.asked=True",
        "    attempt decide",
        "  wait",
        "  node decide perdure.step=4",
        "    attempt decide",
        "  node send perdure.step=5",
        "    attempt send",
    ]
    [run_span] = [span for span in collector.spans if span.name == "invoke_agent support"]
    assert run_span.attributes["gen_ai.agent.name"] == "support"
    assert run_span.attributes["gen_ai.conversation.id"] == "case-7"
    assert run_span.attributes["perdure.outcome"] == "completed"
    assert run_span.attributes["perdure.model_calls"] == 2
    chats = [span.attributes for span in collector.spans if span.name == "chat OfflineModel"]
    assert [told["gen_ai.operation.name"] for told in chats] == ["chat", "chat"]
    assert {told["gen_ai.request.model"] for told in chats} == {"OfflineModel"}
    assert len({span.id for span in collector.spans}) == len(collector.spans)
    assert sample.message.encode()[:40] not in b"".join(collector.raw)


async def test_the_trace_of_a_purchase_that_is_taken_back(
    collector: Collector,
    provider: TracerProvider,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with PurchaseServices(tmp_path / "data", seed=1) as services:
        monkeypatch.delenv("PERDURE_MODEL", raising=False)
        for name, value in services.env.items():
            monkeypatch.setenv(name, value)
        services.faults.add(Fault("reject", "shipping", "ship"), Fault("unavailable", "payments", "charge"))
        async with PerdureEnvironment.start({"purchase": purchase}, tracer_provider=provider) as env:
            run = await env.start("purchase", ORDER, thread_id="order-1")
            with pytest.raises(RunFailed):
                await run.result()
    provider.force_flush()
    tree = collector.tree("gen_ai.tool.name", "error.type")
    assert tree == TAKEN_BACK
    [again, once] = sorted(
        (span for span in collector.spans if span.name == "attempt tools/charge"),
        key=lambda span: span.failed,
    )
    assert once.said == f"503 Service Unavailable from {services.env['PURCHASE_PAYMENTS_URL']}/charge"
    assert again.attributes["perdure.attempt"] == 2
    by_name = {span.name: span.attributes for span in collector.spans}
    assert by_name["effect tools/charge"]["perdure.key"] == by_name["undo charge"]["perdure.key"] != ""
    assert by_name["execute_tool charge"]["gen_ai.operation.name"] == "execute_tool"
    assert by_name["execute_tool charge"]["gen_ai.tool.call.id"]
    assert by_name["invoke_agent purchase"]["perdure.outcome"] == "failed"
    assert {told["gen_ai.conversation.id"] for told in by_name.values()} == {"order-1"}
    assert len({span.id for span in collector.spans}) == len(collector.spans)
    assert ORDER["address"].encode() not in b"".join(collector.raw)


class Wide(TypedDict, total=False):
    text: str


async def test_a_sampler_that_leaves_a_trace_out_leaves_all_of_it_out(collector: Collector) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF)
    builder = StateGraph(Wide)
    builder.add_node("say", lambda state: {"text": "x"})
    builder.add_edge(START, "say")
    async with PerdureEnvironment.start({"g": builder.compile()}, tracer_provider=provider) as env:
        run = await env.start("g", {"text": ""}, thread_id="t")
        await run.result()
        history = (await run.handle.fetch_history()).to_json()
    provider.shutdown()
    assert collector.spans == []
    # Nor does a worker without traces mind what one with traces has begun.
    await replay(history, {"g": builder.compile()}, thread_id="t")
