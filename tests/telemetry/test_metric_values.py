"""Metrics by their values, as Prometheus gets them: what was done is known, and so is what they must say."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict
from urllib.request import urlopen

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import Worker

from perdure.cli.story import Story
from perdure.client import PerdureClient
from perdure.client.census import Census, oldest
from perdure.contract import names
from perdure.devserver import DevServer
from perdure.testing import ScriptedChatModel
from perdure.worker.plugin import PerdurePlugin


class State(TypedDict, total=False):
    said: str


class PricedModel(ScriptedChatModel):
    model_name: str = "gpt-4o"


USAGE = {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200}
COST = 1000 * 2.5e-6 + 200 * 10e-6
"""Of gpt-4o."""


def chain(*nodes: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence(nodes)
    builder.add_edge(START, nodes[0].__name__)
    return builder.compile()


def talking() -> Any:
    model = PricedModel([ConnectionError("the model is away"), AIMessage("hi", usage_metadata=USAGE)])

    async def talk(state: State) -> State:
        return {"said": (await model.ainvoke("hello")).text}

    def rest(state: State) -> State:
        time.sleep(0.1)
        return {}

    return chain(talk, rest)


def asking(*, changed: bool = False) -> Any:
    def before(state: State) -> State:
        return {}

    def ask(state: State) -> State:
        return {"said": interrupt("well?")}

    return chain(ask) if changed else chain(before, ask)


def asking_two() -> Any:
    def first(state: State) -> None:
        interrupt("this?")

    def second(state: State) -> None:
        interrupt("that?")

    builder = StateGraph(State)
    for node in (first, second):
        builder.add_node(node)
        builder.add_edge(START, node.__name__)
    return builder.compile()


@dataclass
class Measured:
    address: str
    place: str
    runtime: Runtime
    folder: Path

    @asynccontextmanager
    async def working(self, graphs: dict[str, Any]) -> AsyncIterator[PerdureClient]:
        plugin = PerdurePlugin(graphs, payloads=self.folder.as_uri(), store=InMemoryStore())
        client = await Client.connect(self.address, plugins=[plugin], runtime=self.runtime)
        async with Worker(client, task_queue="perdure", graceful_shutdown_timeout=timedelta(0)):
            yield PerdureClient(client)

    def read(self) -> dict[str, float]:
        """Each series by its name and what it is about, without Temporal's own labels."""
        with urlopen(f"http://{self.place}/metrics") as answer:
            text = answer.read().decode()
        found: dict[str, float] = {}
        for name, labels, value in re.findall(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
            about = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            told = ",".join(f"{key}={about[key]}" for key in ABOUT if key in about)
            found[f"{name}[{told}]"] = found.get(f"{name}[{told}]", 0) + float(value)
        return found

    async def until(self, series: str, least: float) -> float:
        async with asyncio.timeout(60):
            while (value := self.read().get(series, 0)) < least:  # noqa: ASYNC110 - the exporter's
                await asyncio.sleep(0.05)
        return value


ABOUT = ("graph", "node", "kind", "name", "outcome", "model", "direction", "status", "failure_reason", "le")


@pytest.fixture
async def measured(tmp_path: Path) -> AsyncIterator[Measured]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    exporter = PrometheusConfig(
        bind_address=place, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )
    runtime = Runtime(telemetry=TelemetryConfig(metrics=exporter))
    options: dict[str, Any] = {"port": None, "ui_port": None, "http_port": None, "in_memory": True}
    async with DevServer(
        directory=tmp_path / "server", search_attributes=names.SEARCH_ATTRIBUTES, **options
    ) as server:
        yield Measured(server.address, place, runtime, tmp_path / "payloads")


async def test_what_runs_took_cost_and_asked(measured: Measured) -> None:
    graphs = {"talking": talking(), "asking": asking(), "two": asking_two()}
    async with measured.working(graphs) as client:
        done = await client.start("talking", {})
        await done.result()
        first = await client.start("asking", {}, thread_id="first")
        [question] = await first.wait_for_approvals()
        await asyncio.sleep(2)
        answered = await client.start("asking", {})
        [other] = await answered.wait_for_approvals()
        await answered.resume({other.id: "yes"})
        await answered.result()
        await (await client.start("two", {})).wait_for_approvals()

        census = Census(client, measured.runtime.metric_meter)
        async with asyncio.timeout(60):
            while True:  # lists lag behind
                await census.count()
                told = measured.read()
                if told["perdure_questions[]"] == 3 and told["perdure_threads[status=running]"] == 0:
                    break
        age = time.time() - question.created_at
        assert age - 3 <= told["perdure_oldest_question_seconds[]"] <= age + 1
        assert told["perdure_oldest_question_seconds[]"] >= 2
        assert told["perdure_threads[status=interrupted]"] == 2

        about = "graph=talking,model=gpt-4o"
        assert told[f"perdure_model_calls_total[{about}]"] == 2  # one of them failed
        assert told[f"perdure_tokens_total[{about},direction=input]"] == 1000
        assert told[f"perdure_tokens_total[{about},direction=output]"] == 200
        assert told[f"perdure_cost_microdollars_total[{about}]"] == round(COST * 1_000_000)
        assert told["perdure_failed_attempts_total[graph=talking,node=talk,kind=connection]"] == 1
        assert told["perdure_runs_total[graph=talking,outcome=completed]"] == 1
        assert told["perdure_runs_total[graph=asking,outcome=completed]"] == 1

        step = "perdure_step_latency_seconds"
        rested = "graph=talking,kind=node,name=rest,outcome=done"
        assert told[f"{step}_count[{rested}]"] == 1
        assert told[f"{step}_sum[{rested}]"] >= 0.1
        # The second attempt waits for a second.
        assert told[f"{step}_sum[graph=talking,kind=node,name=talk,outcome=done]"] >= 1
        assert told[f"{step}_count[graph=asking,kind=wait,name=,outcome=done]"] == 1

        waited = "temporal_activity_schedule_to_start_latency_seconds"
        # talk twice and rest; before and ask, twice, and ask once more; two.
        assert told[f"{waited}_count[]"] == 3 + 5 + 2
        size = (await done.handle.describe()).raw_description.workflow_execution_info.history_size_bytes
        assert told["perdure_history_bytes_count[graph=talking]"] == 1
        assert 0.5 * size < told["perdure_history_bytes_sum[graph=talking]"] <= size


async def test_a_workflow_that_cannot_be_replayed_is_counted_and_told(measured: Measured) -> None:
    async with measured.working({"g": asking()}) as client:
        run = await client.start("g", {}, thread_id="wedged")
        [question] = await run.wait_for_approvals()
    async with measured.working({"g": asking(changed=True)}) as client:
        answering = asyncio.create_task(client.resume("wedged", {question.id: "yes"}))
        failed = "temporal_workflow_task_execution_failed_total[failure_reason=NonDeterminismError]"
        assert await measured.until(failed, 1) >= 1
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        handle = client.temporal.get_workflow_handle("wedged")
        story = Story()
        async with asyncio.timeout(30):
            while not any(entry.kind == "stuck" for entry in story.entries):
                story = Story()
                async for event in handle.fetch_history_events():
                    story.apply(event)
        await handle.terminate()


@pytest.mark.parametrize(
    "ages", [[], [0.2], [5], [3, 3, 3], [10, 86_400], [*range(1, 500)], [1, 2, 30 * 86_400, 9_000_000]]
)
async def test_the_oldest_question_is_found_without_a_list(ages: list[float]) -> None:
    now = 1_700_000_000.0
    asked = 0

    async def any_before(moment: float) -> float | None:
        nonlocal asked
        asked += 1
        # The youngest one that is old enough: the least that an answer can help.
        return max((now - age for age in ages if now - age < moment), default=None)

    found = await oldest(any_before, now=now)
    assert found == pytest.approx(max(ages, default=0), rel=0.01, abs=1)
    assert asked < 45
