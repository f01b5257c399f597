"""Values that Temporal would not take, with external storage and without: they work, or they fail the run and say why."""

from __future__ import annotations

import asyncio
import operator
import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker
from typing_extensions import TypedDict

from perdure.client.connect import connect_temporal
from perdure.errors import PayloadTooLarge, RunFailed, ThreadNotFound
from perdure.testing import PerdureEnvironment
from perdure.worker.plugin import PerdurePlugin

HUGE = 20_000_000
MEDIUM = 5_000_000


class State(TypedDict):
    value: Any
    other: Any
    log: Annotated[list[Any], operator.add]


def graph_of(*nodes: Any) -> Any:
    builder = StateGraph(State)
    last = START
    for node in nodes:
        builder.add_node(node)
        builder.add_edge(last, node.__name__)
        last = node.__name__
    return builder.compile()


def measure(state: State) -> dict[str, Any]:
    return {"log": [len(state["value"])]}


def grow(state: State) -> dict[str, Any]:
    return {"value": "x" * HUGE}


def reverse(state: State) -> dict[str, Any]:
    return {"value": "r" + state["value"][1:]}


def ask(state: State) -> dict[str, Any]:
    return {"log": [len(interrupt({"draft": state["value"]}))]}


def ask_briefly(state: State) -> dict[str, Any]:
    return {"log": [len(interrupt("ok?"))]}


def list_rows(state: State) -> dict[str, Any]:
    return {"value": [{"id": n, "name": f"row {n}", "tags": ["a", "b"]} for n in range(100_000)]}


def wide(state: State) -> dict[str, Any]:
    return {"value": "v" * 1_500_000}


def double(state: State) -> dict[str, Any]:
    return {"other": "o" * 1_400_000}


def measure_again(state: State) -> dict[str, Any]:
    return {}


def steps_of(count: int) -> Any:
    def work(state: State) -> dict[str, Any]:
        return {"log": [len(state["value"])]}

    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", lambda state: "work" if len(state["log"]) < count else "__end__")
    return builder.compile()


async def failure(run: Any) -> RunFailed:
    async with asyncio.timeout(60):
        with pytest.raises(RunFailed) as caught:
            await run.result()
    return caught.value


async def history_bytes(run: Any) -> int:
    return len((await run.handle.fetch_history()).to_json())


# -- with external storage -----------------------------------------------------------------------------------------------


async def test_a_20_mb_tool_result_works() -> None:
    @tool
    def fetch() -> str:
        """Fetch."""
        return "x" * HUGE

    async def count(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(str(len(state["messages"][-1].content)))]}

    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode([fetch]))
    builder.add_node("count", count)
    builder.add_edge(START, "tools")
    builder.add_edge("tools", "count")
    call = AIMessage("", tool_calls=[{"name": "fetch", "args": {}, "id": "1"}])
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"messages": [call]})
        assert (await run.result())["messages"][-1].content == str(HUGE)
        assert await history_bytes(run) < 50_000


async def test_every_way_in_and_out_takes_large_values() -> None:
    graph = graph_of(measure, reverse, ask)
    # The real server: the other one knows no limits.
    async with PerdureEnvironment.start({"g": graph}, time_skipping=False) as env:
        run = await env.start("g", {"value": "i" * MEDIUM, "log": []})
        [pending] = await run.wait_for_approvals()
        assert len(pending.value["draft"]) == MEDIUM
        assert len((await run.state()).values["value"]) == MEDIUM
        await run.resume("a" * MEDIUM)
        result = await run.result()
        assert (len(result["value"]), result["log"]) == (MEDIUM, [MEDIUM, MEDIUM])
        assert await history_bytes(run) < 50_000


@pytest.mark.parametrize("keep_open", [False, True])
async def test_a_large_state_is_carried_over(keep_open: bool) -> None:
    async with PerdureEnvironment.start({"g": steps_of(3)}, carry_every=2) as env:
        run = await env.start("g", {"value": "x" * MEDIUM, "log": []}, keep_open=keep_open)
        assert (await run.result())["log"] == [MEDIUM] * 3
        first = await env.client.get_workflow_handle(run.thread_id).describe()
        assert first.raw_description.workflow_execution_info.first_run_id != first.run_id


async def test_a_worker_that_has_not_the_input_in_memory_asks_for_it(tmp_path: Path) -> None:
    graph = graph_of(measure)
    # The time-skipping server can lose a workflow task that races with a query.
    async with PerdureEnvironment.start(
        {"g": graph}, worker=False, payloads=tmp_path.as_uri(), time_skipping=False
    ) as env:
        forgetful = PerdurePlugin({"g": graph}, live_inputs=0, payloads=tmp_path.as_uri())
        client = await connect_temporal(
            env.client.service_client.config.target_host, plugins=[forgetful], wait=timedelta(seconds=10)
        )
        async with Worker(client, task_queue=env.task_queue, max_cached_workflows=0):
            run = await env.start("g", {"value": os.urandom(MEDIUM).hex(), "log": []})
            assert (await run.result())["log"] == [2 * MEDIUM]


async def test_a_value_of_so_many_parts_that_a_workflow_could_not_read_it_in_time_fails_the_node() -> None:
    async with PerdureEnvironment.start({"g": graph_of(list_rows)}) as env:
        error = await failure(await env.start("g", {"log": []}))
    assert (error.node, error.cause_type) == ("list_rows", "PayloadTooLarge")
    assert "the result of node 'list_rows' has more than 150,000 parts" in str(error)
    assert "as text or bytes" in str(error)


# -- without -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_open", [False, True])
async def test_a_state_too_large_to_carry_over_ends_the_thread_and_says_why(keep_open: bool) -> None:
    graph = graph_of(wide, double, measure, measure_again)
    async with PerdureEnvironment.start({"g": graph}, carry_every=2, payloads="none") as env:
        run = await env.start("g", {"log": [], "small": 1}, keep_open=keep_open)
        async with asyncio.timeout(60):
            with pytest.raises(WorkflowFailureError) as caught:
                await run.handle.result()
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "PayloadTooLarge"
    assert "continues as new" in cause.message
    assert "channel 'value': 1,500,002" in cause.message
    assert "PERDURE_PAYLOADS" in cause.message


async def test_a_result_too_large_fails_the_run() -> None:
    async with PerdureEnvironment.start({"g": graph_of(wide, double)}, payloads="none") as env:
        error = await failure(await env.start("g", {"log": []}))
        assert error.cause_type == "PayloadTooLarge"
        assert "the result of the run is 2,900,0" in str(error)

        kept = await env.start("g", {"log": []}, keep_open=True)
        assert (await failure(kept)).cause_type == "PayloadTooLarge"
        assert (await kept.handle.describe()).status == WorkflowExecutionStatus.RUNNING


async def test_a_nodes_result_too_large_names_node_and_channel() -> None:
    async with PerdureEnvironment.start({"g": graph_of(grow)}, payloads="none") as env:
        error = await failure(await env.start("g", {"log": []}))
    assert error.node == "grow"
    assert "the result of node 'grow' is 20,0" in str(error)
    assert "channel 'value': 20,000,002" in str(error)


async def test_an_input_too_large_is_refused_before_anything_starts() -> None:
    async with PerdureEnvironment.start({"g": graph_of(measure)}, payloads="none") as env:
        for keep_open in (False, True):
            with pytest.raises(PayloadTooLarge, match="PERDURE_PAYLOADS"):
                await env.start("g", {"value": "x" * MEDIUM}, thread_id="t", keep_open=keep_open)
        with pytest.raises(ThreadNotFound):
            await env.perdure.state("t")


async def test_a_thread_that_asks_can_be_answered_though_its_state_is_too_large_to_show() -> None:
    graph = graph_of(wide, double, ask_briefly)
    async with PerdureEnvironment.start({"g": graph}, time_skipping=False, payloads="none") as env:
        run = await env.start("g", {"log": []})
        [pending] = await run.wait_for_approvals()
        state = await run.state()
        assert (state.values, state.next, state.status) == (None, ("ask_briefly",), "interrupted")
        assert "the thread's state is 2,90" in str(state.error)
        with pytest.raises(PayloadTooLarge, match="the answer is 2,500,"):
            await run.resume("a" * 2_500_000)
        await run.resume({pending.id: "a" * 10})
        assert (await failure(run)).cause_type == "PayloadTooLarge"


async def test_the_limit_with_external_storage_is_one_too() -> None:
    async with PerdureEnvironment.start({"g": graph_of(measure)}) as env:
        with pytest.raises(PayloadTooLarge, match="over the limit of 67,108,864: keep large data in a file"):
            await env.start("g", {"value": "x" * 70_000_000})
