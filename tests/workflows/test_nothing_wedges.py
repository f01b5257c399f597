"""Whatever is wrong, the run fails and says why; no workflow task is retried for ever."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langgraph.errors import NodeError
from langgraph.graph import START, StateGraph
from langgraph.types import Command
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from typing_extensions import TypedDict

from perdure import durable
from perdure.contract import names
from perdure.errors import PayloadNotSerializable, PayloadTooLarge, RunFailed
from perdure.testing import PerdureEnvironment


class State(TypedDict):
    value: Any


def graph_of(node: Any, **options: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", node, **options)
    builder.add_edge(START, "node")
    return builder.compile()


def bad_reducer(left: Any, right: Any) -> Any:
    if right == "boom":
        raise ZeroDivisionError("in the reducer")
    return right


class Reduced(TypedDict):
    value: Annotated[Any, bad_reducer]


def quiet(state: State) -> dict[str, Any]:
    return {}


async def failure_of(graph: Any, value: Any = None) -> RunFailed:
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"value": value})
        async with asyncio.timeout(20):
            with pytest.raises(RunFailed) as caught:
                await run.result()
    return caught.value


async def test_a_node_that_returns_nonsense() -> None:
    assert "InvalidUpdateError" in str(await failure_of(graph_of(lambda state: 42)))


async def test_a_jump_to_a_node_that_is_not_there_ends_as_it_does_in_langgraph() -> None:
    graph = graph_of(lambda state: Command(goto="nowhere"))
    native = await graph.ainvoke({"value": 1})
    async with PerdureEnvironment.start({"g": graph}) as env:
        assert await (await env.start("g", {"value": 1})).result() == native


async def test_a_reducer_that_raises() -> None:
    builder = StateGraph(Reduced)
    builder.add_node("node", lambda state: {"value": "boom"})
    builder.add_edge(START, "node")
    failure = await failure_of(builder.compile(), value="fine")
    assert failure.cause_type == "ZeroDivisionError"


@pytest.mark.parametrize("data", [{"$type": "no.such.Type"}, "text", {"graph": 5, "nonsense": []}, []])
async def test_a_thread_started_with_an_undecodable_input(data: Any) -> None:
    async with PerdureEnvironment.start({"g": graph_of(quiet)}) as env:
        raw = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(data).encode()))
        handle = await env.client.start_workflow(
            names.THREAD_WORKFLOW, raw, id="bad", task_queue=env.task_queue
        )
        async with asyncio.timeout(20):
            with pytest.raises(Exception, match="Workflow execution failed"):
                await handle.result()


@pytest.mark.compat(
    "an input of a type that is not on the allow-list",
    status="refused",
    error="`PayloadNotSerializable`, before anything starts",
)
async def test_an_input_that_cannot_be_sent_is_refused_before_anything_starts() -> None:
    class Odd:
        pass

    async with PerdureEnvironment.start({"g": graph_of(quiet)}, payloads="none") as env:
        with pytest.raises(PayloadNotSerializable, match="Odd"):
            await env.start("g", {"value": Odd()})
        with pytest.raises(PayloadTooLarge, match="input of graph 'g'"):
            await env.start("g", {"value": "x" * 2_500_000})


async def test_a_type_that_only_the_starter_knows_fails_the_run() -> None:
    @dataclass
    class Mine:
        a: int

    async with (
        PerdureEnvironment.start({"g": graph_of(quiet)}) as env,
        PerdureEnvironment.start({"g": graph_of(quiet)}, types=[Mine], worker=False) as other,
    ):
        payload = other.plugin.configure_client({})["data_converter"].payload_converter.to_payload(
            {"graph": "g", "run": {"id": "1", "input": {"value": Mine(1)}, "config": {}, "context": None}}
        )
        handle = await env.client.start_workflow(
            names.THREAD_WORKFLOW, RawValue(payload), id="bad", task_queue=env.task_queue
        )
        async with asyncio.timeout(20):
            with pytest.raises(Exception, match="Workflow execution failed"):
                await handle.result()


@pytest.mark.compat(
    "`graph.invoke()`, the synchronous one, inside a workflow",
    status="refused",
    error="`RuntimeError`, naming `ainvoke`",
)
async def test_sync_invoke_inside_a_workflow_is_refused() -> None:
    inner = graph_of(quiet)
    failure = await failure_of(
        graph_of(lambda state: inner.invoke({"value": 1}), metadata=durable(run_in="workflow"))
    )
    assert "synchronous invoke" in str(failure)


async def test_an_error_handler_node_gets_the_nodes_own_exception() -> None:
    def fails(state: State) -> dict[str, Any]:
        raise KeyError("lost")

    def handler(state: State, error: NodeError) -> dict[str, Any]:
        return {"value": f"{error.node}: {type(error.error).__name__} {error.error}"}

    graph = graph_of(fails, error_handler=handler)
    async with PerdureEnvironment.start({"g": graph}) as env:
        result = await (await env.start("g", {"value": ""})).result()
    assert result == await graph.ainvoke({"value": ""})
