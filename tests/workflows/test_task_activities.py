"""Each `@task` is an activity of its own: by name in the history, retried by itself, kept when its node is run again."""

from __future__ import annotations

import asyncio
import operator
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Annotated, Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.errors import NodeTimeoutError
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.runtime import get_runtime
from langgraph.types import RetryPolicy, interrupt
from temporalio.api.enums.v1 import EventType
from temporalio.common import RetryPolicy as TemporalRetry
from temporalio.worker import Worker
from typing_extensions import TypedDict

from perdure import PerdurePlugin, durable
from perdure.client import RunHandle
from perdure.client.connect import connect_temporal
from perdure.errors import RunFailed, TaskNotFound
from perdure.graph.task_functions import find_task, task_path
from perdure.testing import PerdureEnvironment

CALLS: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _no_calls_yet() -> None:
    CALLS.clear()


@dataclass
class Parcel:
    name: str
    weight: int


@task
def double(value: int) -> int:
    CALLS[f"double {value}"] += 1
    return value * 2


@task
async def adouble(value: int) -> int:
    CALLS[f"adouble {value}"] += 1
    return value * 2


@task
async def weigh(parcel: Parcel, *, extra: int = 0) -> Parcel:
    return Parcel(parcel.name, parcel.weight + extra)


@task
def ask(question: str) -> str:
    CALLS[f"ask {question}"] += 1
    return f"{question} {interrupt(question)} {interrupt('really?')}"


@task
def both(value: int) -> int:
    CALLS["both"] += 1
    return sum(future.result() for future in [double(value), adouble(value + 1)])


@task
async def ask_inside(question: str) -> str:
    CALLS["ask_inside"] += 1
    return f"<{await adouble(4)} {await ask(question)}>"


@task(name="renamed")
def with_a_name() -> str:
    return "named"


def _plain(value: int) -> int:
    return -value


negate = task(_plain)


@task
def where(config: RunnableConfig) -> dict[str, Any]:
    return {
        "node": config["metadata"]["langgraph_node"],
        "mine": config["configurable"]["mine"],
        "context": get_runtime().context,
    }


@task
def raise_value_error(text: str) -> None:
    CALLS["value error"] += 1
    raise ValueError(text)


@task(retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.01))
def raise_connection_error() -> None:
    CALLS["connection error"] += 1
    raise ConnectionError("gone")


@task(retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.01, retry_on=KeyError))
def flaky(until: int) -> int:
    CALLS["flaky"] += 1
    if CALLS["flaky"] < until:
        raise KeyError("not yet")
    return CALLS["flaky"]


@task(timeout=0.05, retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.01))
async def too_slow() -> None:
    CALLS["too slow"] += 1
    await asyncio.sleep(60)


@task
async def wait_for_ever() -> None:
    CALLS["waits"] += 1
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        CALLS["cancelled"] += 1
        raise


@task
def give_a_function() -> Any:
    return lambda: None


async def activities(run: RunHandle) -> list[str]:
    history = await run.handle.fetch_history()
    return [
        event.activity_task_scheduled_event_attributes.activity_id
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]


@entrypoint()
def sync_flow(count: int) -> list[int]:
    return [future.result() for future in [double(n) for n in range(count)]]


@entrypoint()
async def async_flow(count: int) -> list[int]:
    return await asyncio.gather(*[adouble(n) for n in range(count)])


@pytest.mark.parametrize("flow", [sync_flow, async_flow])
async def test_parallel_tasks_are_activities_with_their_names(flow: Any) -> None:
    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start("flow", 3)
        assert await run.result() == [0, 2, 4]
        flow_name, name = ("sync_flow", "double") if flow is sync_flow else ("async_flow", "adouble")
        assert sorted(await activities(run)) == sorted(
            [f"{flow_name}:1", *(f"{name}:1.{n}" for n in range(3))]
        )


@pytest.mark.compat("Functional API: each task an activity of its own, by the hundred")
async def test_two_hundred_parallel_tasks() -> None:
    async with PerdureEnvironment.start({"flow": async_flow}, replay_every_task=False) as env:
        assert await (await env.start("flow", 200)).result() == [n * 2 for n in range(200)]
    assert len(CALLS) == 200
    assert set(CALLS.values()) == {1}


async def test_types_keywords_and_other_names() -> None:
    @entrypoint()
    async def flow(parcel: Parcel) -> Any:
        return [await weigh(parcel, extra=2), await with_a_name(), await negate(3)]

    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start("flow", Parcel("books", 5))
        assert await run.result() == [Parcel("books", 7), "named", -3]
        assert await activities(run) == ["flow:1", "weigh:1.0", "renamed:1.1", "_plain:1.2"]


async def test_a_task_has_the_runs_config_and_context() -> None:
    @entrypoint(context_schema=Parcel)
    async def flow(_: int) -> Any:
        return await where()

    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start(
            "flow", 0, config={"configurable": {"mine": "yes"}}, context=Parcel("context", 1)
        )
        assert await run.result() == {"node": "where", "mine": "yes", "context": Parcel("context", 1)}


async def test_nested_tasks() -> None:
    @entrypoint()
    async def flow(value: int) -> list[int]:
        return [await both(value), await both(value)]

    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start("flow", 1)
        assert await run.result() == [6, 6]
        assert sorted(await activities(run)) == [
            "adouble:1.0.1", "adouble:1.1.1", "both:1.0", "both:1.1", "double:1.0.0", "double:1.1.0", "flow:1",
        ]  # fmt: skip


@pytest.mark.compat(
    "a `@task` that no import path leads to (a closure, a lambda)",
    status="differs",
    how="runs inside its node's activity",
    why="another process could not find it",
)
async def test_a_local_task_runs_in_the_attempt_and_its_own_tasks_elsewhere() -> None:
    @task
    def local(value: int) -> int:
        return double(value).result() + double(value + 1).result()

    @entrypoint()
    def flow(value: int) -> list[int]:
        return [local(value).result(), double(7).result()]

    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start("flow", 1)
        assert await run.result() == [6, 14]
        assert await activities(run) == ["flow:1", "double:1.0.0", "double:1.0.1", "double:1.1"]


async def test_arguments_without_a_payload_form_keep_a_task_in_the_attempt() -> None:
    @entrypoint()
    async def flow(value: int) -> int:
        return await apply(lambda: value + 1)

    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start("flow", 1)
        assert await run.result() == 2
        assert await activities(run) == ["flow:1"]


@task
def apply(function: Any) -> int:
    return function()


async def test_a_result_without_a_payload_form_fails_with_the_task_and_the_remedy() -> None:
    @entrypoint()
    async def flow(_: int) -> None:
        await give_a_function()

    async with PerdureEnvironment.start({"flow": flow}) as env:
        with pytest.raises(RunFailed, match="'flow/give_a_function' cannot be stored"):
            await (await env.start("flow", 1)).result()


async def test_types_of_a_module_that_has_nothing_but_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("module_of_tasks")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    source = """
from dataclasses import dataclass
from langgraph.func import task

@dataclass
class Stamp:
    worth: int

@task
def stamp(worth):
    return Stamp(worth)
"""
    exec(compile(source, module.__name__, "exec"), module.__dict__)

    @entrypoint()
    async def flow(worth: int) -> int:
        return (await module.stamp(worth)).worth

    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start("flow", 3)
        assert await run.result() == 3
        assert await activities(run) == ["flow:1", "stamp:1.0"]


class Log(TypedDict):
    log: Annotated[list[int], operator.add]


async def test_tasks_of_graph_nodes() -> None:
    def node(state: Log) -> dict[str, Any]:
        return {"log": [double(n).result() for n in (1, 2)]}

    async def inside(state: Log) -> dict[str, Any]:
        return {"log": await asyncio.gather(*(adouble(n) for n in (3, 4)))}

    inner = StateGraph(Log)
    inner.add_node("inside", inside)
    inner.add_edge(START, "inside")
    builder = StateGraph(Log)
    builder.add_node("node", node)
    builder.add_node("sub", inner.compile())
    builder.add_edge(START, "node")
    builder.add_edge("node", "sub")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"log": []})
        # The subgraph's state is added to the state that it was given: LangGraph's own arithmetic.
        assert (await run.result())["log"][-2:] == [6, 8]
        assert {"double:1.0", "double:1.1", "adouble:2.0", "adouble:2.1"} < set(await activities(run))


@pytest.mark.compat("Functional API: interrupts in tasks; finished tasks are not run again")
async def test_interrupts_in_a_task_and_in_a_task_of_a_task() -> None:
    @entrypoint()
    def flow(value: int) -> list[str]:
        first = double(value).result()
        return [str(first), ask("one?").result(), ask_inside("two?").result()]

    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start("flow", 1)
        for expected in ("one?", "really?", "two?", "really?"):
            [item] = await run.wait_for_approvals()
            assert item.value == expected
            await run.resume({item.id: "yes"})
        assert await run.result() == ["2", "one? yes yes", "<8 two? yes yes>"]
    assert CALLS["double 1"] == 1
    assert CALLS["adouble 4"] == 1


async def test_parallel_interrupts_in_tasks_are_answered_by_id() -> None:
    @entrypoint()
    async def flow(_: int) -> list[str]:
        return await asyncio.gather(ask_once("a"), ask_once("b"))

    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start("flow", 1)
        items = await run.wait_for_approvals()
        assert sorted(item.value for item in items) == ["a", "b"]
        await run.resume({item.id: item.value.upper() for item in items})
        assert await run.result() == ["A", "B"]


@task
async def ask_once(question: str) -> str:
    return interrupt(question)


@pytest.mark.compat("Functional API: a task's exception reaches its caller as itself")
async def test_an_exception_reaches_the_entrypoint_as_itself_and_may_be_caught() -> None:
    @entrypoint()
    def flow(_: int) -> str:
        try:
            raise_value_error("bad").result()
        except ValueError as error:
            return f"{type(error).__name__}: {error}, {double(1).result()}"
        return "not raised"

    async with PerdureEnvironment.start({"flow": flow}) as env:
        assert await (await env.start("flow", 1)).result() == "ValueError: bad, 2"
    assert CALLS["value error"] == 1


async def test_a_task_that_failed_for_good_fails_its_entrypoint_at_once() -> None:
    @entrypoint()
    async def flow(_: int) -> None:
        CALLS["flow"] += 1
        await raise_connection_error()

    async with PerdureEnvironment.start({"flow": flow}) as env:
        with pytest.raises(RunFailed, match="ConnectionError: gone"):
            await (await env.start("flow", 1)).result()
    assert CALLS["connection error"] == 2
    assert CALLS["flow"] == 1


async def test_a_declared_policy_runs_a_failed_task_again_in_the_nodes_next_attempt() -> None:
    async def node(state: Log) -> dict[str, Any]:
        CALLS["node"] += 1
        await adouble(1)
        await flaky(5)
        return {"log": [CALLS["flaky"]]}

    builder = StateGraph(Log)
    again = durable(retry=TemporalRetry(maximum_attempts=3, initial_interval=timedelta(milliseconds=10)))
    builder.add_node("node", node, metadata=again)
    builder.add_edge(START, "node")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        assert await (await env.start("g", {"log": []})).result() == {"log": [5]}
    assert CALLS["node"] == 2
    assert CALLS["adouble 1"] == 1, "a finished task is not run again"


async def test_a_tasks_own_policy() -> None:
    @entrypoint()
    async def flow(_: int) -> int:
        return await flaky(3)

    async with PerdureEnvironment.start({"flow": flow}) as env:
        assert await (await env.start("flow", 1)).result() == 3


async def test_a_tasks_time_limit() -> None:
    @entrypoint()
    async def flow(_: int) -> str:
        try:
            await too_slow()
        except NodeTimeoutError as error:
            return f"{error.kind} {error.timeout}"
        return "in time"

    async with PerdureEnvironment.start({"flow": flow}, time_skipping=False) as env:
        assert await (await env.start("flow", 1)).result() == "run 0.05"
    assert CALLS["too slow"] == 2


async def test_a_second_attempt_of_the_node_joins_and_keeps_its_tasks() -> None:
    @entrypoint()
    async def flow(value: int) -> list[int]:
        CALLS["flow"] += 1
        first = await adouble(value)
        later = adouble(value + 1)
        if CALLS["flow"] < 3:
            raise ConnectionError("lost")
        return [first, await later]

    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start("flow", 1)
        assert await run.result() == [2, 4]
        assert await activities(run) == ["flow:1", "adouble:1.0", "adouble:1.1"]
    assert CALLS == {"flow": 3, "adouble 1": 1, "adouble 2": 1}


@pytest.mark.parametrize("keep_open", [False, True])
async def test_cancelling_a_run_cancels_its_tasks(keep_open: bool) -> None:
    @entrypoint()
    async def flow(_: int) -> None:
        await wait_for_ever()

    async with PerdureEnvironment.start({"flow": flow}, time_skipping=False) as env:
        run = await env.start("flow", 1, keep_open=keep_open)
        await _until(lambda: CALLS["waits"] == 1)
        await run.cancel()
        with pytest.raises(RunFailed, match="cancelled"):
            await run.result()
        await _until(lambda: CALLS["cancelled"] == 1)


async def test_a_task_that_nobody_waits_for_is_waited_for() -> None:
    @entrypoint()
    async def flow(value: int) -> int:
        adouble(value)
        return value

    async with PerdureEnvironment.start({"flow": flow}) as env:
        assert await (await env.start("flow", 1)).result() == 1
    assert CALLS["adouble 1"] == 1


def _remember(state: Log) -> dict[str, Any]:
    return {"log": [len(state["log"])]}


_memory = StateGraph(Log)
_memory.add_node("remember", _remember)
_memory.add_edge(START, "remember")
memory = _memory.compile(checkpointer=True)


@task
async def look_back(value: int) -> list[int]:
    return (await memory.ainvoke({"log": [value]}))["log"]


async def test_a_subgraph_with_a_memory_of_its_own_keeps_it_in_a_task() -> None:
    @entrypoint()
    async def flow(value: int) -> list[int]:
        return await look_back(value)

    async with PerdureEnvironment.start({"flow": flow}) as env:
        runs = [await env.start("flow", value, thread_id="t", keep_open=True) for value in (7, 8)]
        assert [await run.result() for run in runs] == [[7, 1], [7, 1, 8, 3]]


@task
def drain() -> str:
    control = get_runtime().control
    assert control is not None
    control.request_drain("enough for now")
    return "drained"


async def test_a_task_may_ask_the_run_to_drain() -> None:
    @entrypoint()
    async def flow(_: int) -> str:
        return await drain()

    async with PerdureEnvironment.start({"flow": flow}) as env:
        assert await (await env.start("flow", 1)).result() == "drained"


async def test_more_waiting_entrypoints_than_the_worker_has_places() -> None:
    async with (
        PerdureEnvironment.start({"sync": sync_flow, "async": async_flow}, worker=False) as env,
        env.worker(replay_every_task=False, max_concurrent_activities=2),
    ):
        runs = [await env.start(name, 2) for name in ("sync", "async") for _ in range(12)]
        assert [await run.result() for run in runs] == [[0, 2]] * 24


async def test_tasks_in_a_thread_that_continues_as_new_after_every_call() -> None:
    async def node(state: Log) -> dict[str, Any]:
        return {"log": [await adouble(len(state["log"])), await adouble(10)]}

    builder = StateGraph(Log)
    for name in ("one", "two", "three"):
        builder.add_node(name, node)
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    builder.add_edge("two", "three")
    async with PerdureEnvironment.start({"g": builder.compile()}, carry_every=1) as env:
        assert (await (await env.start("g", {"log": []})).result())["log"] == [0, 20, 4, 20, 8, 20]


@task
async def echo(text: str) -> str:
    return text.upper()


@entrypoint()
async def large_flow(size: int) -> bool:
    return await echo("a" * size) == "A" * size


async def test_arguments_and_results_that_are_kept_elsewhere() -> None:
    async with PerdureEnvironment.start({"flow": large_flow}) as env:
        assert await (await env.start("flow", 3_000_000)).result() is True


async def test_arguments_that_are_too_large_fail_with_the_task_and_the_remedy() -> None:
    async with PerdureEnvironment.start({"flow": large_flow}, payloads="none") as env:
        with pytest.raises(RunFailed, match=r"call of task 'echo' is 3,000,\d+ bytes.*PERDURE_PAYLOADS"):
            await (await env.start("flow", 3_000_000)).result()


async def test_a_node_far_from_its_workflow_asks_what_became_of_its_tasks() -> None:
    class Texts(TypedDict):
        texts: Annotated[list[str], operator.add]

    async def node(state: Texts) -> dict[str, Any]:
        texts = await asyncio.gather(*(echo(f"{n}x" * 2_000) for n in range(5)), echo("short"))
        return {"texts": [*texts, await echo("last")]}

    builder = StateGraph(Texts)
    builder.add_node("node", node, metadata=durable(task_queue="far"))
    builder.add_edge(START, "node")
    graphs = {"g": builder.compile()}
    async with PerdureEnvironment.start(graphs, time_skipping=False, replay_every_task=False) as env:
        # Another plugin: what the workflows of the first one leave in memory is out of its reach.
        address = env.client.service_client.config.target_host
        far = await connect_temporal(address, plugins=[PerdurePlugin(graphs)])
        async with Worker(far, task_queue="far"):
            texts = (await (await env.start("g", {"texts": []})).result())["texts"]
    assert texts == [*(f"{n}X" * 2_000 for n in range(5)), "SHORT", "LAST"]


async def test_a_worker_that_has_not_the_tasks_code_says_so() -> None:
    assert task_path(double.func) == f"{__name__}:double"
    with pytest.raises(TaskNotFound, match="no task 'nowhere:double': that module is not loaded"):
        find_task("nowhere:double")
    with pytest.raises(TaskNotFound, match="has no such @task"):
        find_task("os:system")


async def _until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)
