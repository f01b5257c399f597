"""`bench/cost_model.py` against histories and against the server's own count of actions; the document's tables against it."""

from __future__ import annotations

import asyncio
import operator
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from langgraph.func import task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt
from temporalio.api.enums.v1 import EventType
from temporalio.common import RetryPolicy
from typing_extensions import TypedDict

from perdure import durable, effect
from perdure.contract.thread import RunRequest
from perdure.errors import RunFailed
from perdure.server.threads import ServedThreads
from perdure.testing import PerdureEnvironment, ScriptedChatModel

sys.path.append(str(Path(__file__).parents[2] / "bench"))

import cost_model
import cost_tables
from server_metrics import counted_actions

# No heartbeat falls due, however long the machine takes.
CALM = durable(
    heartbeat=timedelta(minutes=10),
    retry=RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=3),
)


class State(TypedDict):
    log: Annotated[list[Any], operator.add]
    text: str


EMPTY: State = {"log": [], "text": ""}


@task
async def double(number: int) -> int:
    return 2 * number


def _give_back(number: int) -> None:
    pass


@effect(undo=_give_back)
async def take(number: int) -> int:
    return number


def _graph(*nodes: Callable[[State], Any]) -> Any:
    """One after the other."""
    builder = StateGraph(State)
    last = START
    for node in nodes:
        builder.add_node(node.__name__, node, metadata=CALM)
        builder.add_edge(last, node.__name__)
        last = node.__name__
    return builder.compile()


def _steps(count: int, size: int = 0) -> Any:
    async def work(state: State) -> dict[str, Any]:
        return {"log": [len(state["log"])], "text": "x" * size}

    builder = StateGraph(State).add_node("work", work, metadata=CALM).add_edge(START, "work")
    builder.add_conditional_edges("work", lambda state: "work" if len(state["log"]) < count else "__end__")
    return builder.compile()


def _fan_out(count: int) -> Any:
    def plan(state: State) -> Command[Any]:
        return Command(goto=[Send("pack", {"number": number}) for number in range(count)])

    async def pack(given: dict[str, Any]) -> dict[str, Any]:
        return {"log": [given["number"]]}

    builder = StateGraph(State).add_node("plan", plan, metadata=CALM, destinations=("pack",))
    return builder.add_node("pack", pack, metadata=CALM).add_edge(START, "plan").compile()


async def ask(state: State) -> dict[str, Any]:
    return {"log": [interrupt("may I?")]}


async def tasks(state: State) -> dict[str, Any]:
    return {"log": [await call for call in [double(number) for number in range(3)]]}


async def takes(state: State) -> dict[str, Any]:
    return {"log": [await take(1), await take(2)]}


async def breaks(state: State) -> dict[str, Any]:
    raise ValueError("no")


def _chat(count: int) -> Any:
    model = ScriptedChatModel(["hello"] * count)

    async def chat(state: State) -> dict[str, Any]:
        return {"log": [str((await model.ainvoke(f"hi {number}")).content) for number in range(count)]}

    return _graph(chat)


def _stumbles() -> Any:
    tried: list[int] = []

    async def stumble(state: State) -> dict[str, Any]:
        tried.append(1)
        if len(tried) < 3:
            raise RuntimeError("not yet")
        return {"log": [1]}

    return _graph(stumble)


@dataclass(frozen=True)
class Case:
    """`content` is what `bytes_` is told."""

    graph: Any
    work: Mapping[str, int]
    content: Mapping[str, float] = field(default_factory=dict)
    questions: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


inner = _graph(ask, takes)

CASES: Mapping[str, Case] = {
    "one": Case(_steps(1), {"thread": 1, "node call": 1}),
    "steps": Case(
        _steps(12, 2000),
        {"thread": 1, "node call": 12},
        {"output": 2030, "news": 135, "result": 2050},
    ),
    "deadline": Case(
        _steps(1), {"thread": 1, "node call": 1, "deadline": 1}, options={"deadline": timedelta(hours=1)}
    ),
    "branches": Case(_fan_out(20), {"thread": 1, "node call": 2, "branch": 19}, {"output": 85}),
    "questions": Case(
        _graph(ask),
        {"thread": 1, "node call": 1, "question": 1, "query": 1},
        questions=1,
        options={"approval_timeout": timedelta(hours=1)},
    ),
    "subgraph": Case(
        StateGraph(State).add_node("team", inner).add_edge(START, "team").compile(),
        {"thread": 1, "node call": 2, "question": 1, "query": 1, "task": 2},
        questions=1,
        options={"approval_timeout": timedelta(hours=1)},
    ),
    "tasks": Case(_graph(tasks), {"thread": 1, "node call": 1, "task": 1, "joined task": 2}),
    "model": Case(
        _chat(3),
        {"thread": 1, "node call": 1, "model answer": 3},
        {"output": 350},
    ),
    "retries": Case(_stumbles(), {"thread": 1, "node call": 1, "retry": 2}, {"retried": 1}),
    "carries": Case(
        _steps(10, 500),
        {"thread": 1, "node call": 10, "carry": 2},
        {"output": 530, "news": 135, "result": 550, "state": 550, "kept": 6},  # 4 of them, then 8
        options={"carry_every": 4},
    ),
}


@pytest.fixture(scope="module")
def measured() -> tuple[dict[str, Measured], Counter[str]]:
    """Each case's histories, and all actions as the server counted them."""
    return asyncio.run(_measured())


async def _measured() -> tuple[dict[str, Measured], Counter[str]]:
    found: dict[str, Measured] = {}
    async with PerdureEnvironment.start(
        {**{name: case.graph for name, case in CASES.items()}, "undone": _graph(takes, breaks)},
        time_skipping=False,
        replay_every_task=False,
    ) as env:
        address = env.client.service_client.config.target_host
        before = await asyncio.to_thread(counted_actions, address)
        for name, case in CASES.items():
            run = await env.start(name, EMPTY, thread_id=name, **case.options)
            for _ in range(case.questions):
                [item] = await run.wait_for_approvals()
                await run.resume({item.id: "yes"})
            await run.result()
            found[name] = await measure(env, name)
        run = await env.start("undone", EMPTY, thread_id="undone")
        with suppress(RunFailed):
            await run.result()
        found["undone"] = await measure(env, "undone")
        found["served"] = await _serve(env)
        all_actions = expected_actions()
        for _ in range(100):
            actions = await asyncio.to_thread(counted_actions, address) - before
            if sum(actions.values()) >= sum(all_actions.values()):
                break
            await asyncio.sleep(0.2)
        return found, actions


async def _serve(env: PerdureEnvironment) -> Measured:
    """Two runs on a thread of the HTTP server; somebody waits for the result of each."""
    threads = ServedThreads(env.perdure, carry_every=0)
    for number in range(2):
        request = RunRequest(
            id=f"run-{number}", input=EMPTY, graph="one", assistant_id="one", ends_when_interrupted=True
        )
        await threads.start_run("served", request, create={})
        await threads.result("served", request.id)
    return await measure(env, "served")


@dataclass(frozen=True)
class Measured:
    events: Counter[str]
    bytes: int
    identity: int


async def measure(env: PerdureEnvironment, thread: str) -> Measured:
    """All workflow runs of a thread together."""
    handle = env.client.get_workflow_handle(thread)
    run_id = (await handle.describe()).raw_description.workflow_execution_info.first_run_id
    events: Counter[str] = Counter()
    size = 0
    while run_id:
        handle = env.client.get_workflow_handle(thread, run_id=run_id)
        size += (await handle.describe()).raw_description.workflow_execution_info.history_size_bytes
        history = [event async for event in handle.fetch_history_events()]
        events.update(EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history)
        run_id = history[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return Measured(events, size, len(env.client.identity))


SERVED = {"served thread": 1, "served run": 2, "awaited result": 2, "node call": 2}
# Its run fails: two effects, both taken back, after a call that was tried three times.
UNDONE = {"thread": 1, "node call": 2, "retry": 2, "task": 2, "undo": 2}


def expected_actions() -> Counter[str]:
    found = sum((cost_model.actions(case.work) for case in CASES.values()), Counter())
    found += cost_model.actions(SERVED) + cost_model.actions(UNDONE)
    # The failed run tells of its last failure, too, and of what was taken back.
    return found + Counter(record_activity_heartbeat=1, modify_workflow_properties=1)


def check_events(work: Mapping[str, int], found: Counter[str], *, without: tuple[str, ...] = ()) -> None:
    least, most = cost_model.events(work), cost_model.events(work, apart=True)
    done = "WORKFLOW_TASK_COMPLETED"
    assert least[done] <= found[done] <= most[done]
    ours = {event: count for event, count in found.items() if not event.startswith("WORKFLOW_TASK")}
    expected = {event: count for event, count in least.items() if not event.startswith("WORKFLOW_TASK")}
    assert {k: v for k, v in ours.items() if k not in without} == {
        k: v for k, v in expected.items() if k not in without
    }


@pytest.mark.parametrize("name", CASES)
def test_a_history_is_as_the_model_says(
    name: str, measured: tuple[dict[str, Measured], Counter[str]]
) -> None:
    case, found = CASES[name], measured[0][name]
    check_events(case.work, found.events)
    size = cost_model.bytes_(case.work, **case.content, identity=found.identity)
    # Workflow tasks that the model leaves open count as they were.
    open_tasks = (
        found.events["WORKFLOW_TASK_COMPLETED"] - cost_model.events(case.work)["WORKFLOW_TASK_COMPLETED"]
    )
    size += open_tasks * sum(cost_model.EVENT_BYTES[event] for event in cost_model.TASK)
    assert size == pytest.approx(found.bytes, rel=0.1)


def test_threads_of_the_server_and_failed_runs_are_as_the_model_says(
    measured: tuple[dict[str, Measured], Counter[str]],
) -> None:
    check_events(SERVED, measured[0]["served"].events)
    ends = (
        "ACTIVITY_TASK_COMPLETED",
        "ACTIVITY_TASK_FAILED",
        "WORKFLOW_EXECUTION_COMPLETED",
        "WORKFLOW_EXECUTION_FAILED",
        "WORKFLOW_PROPERTIES_MODIFIED",
    )
    check_events(UNDONE, measured[0]["undone"].events, without=ends)


def test_the_server_counts_the_actions_that_the_model_says(
    measured: tuple[dict[str, Measured], Counter[str]],
) -> None:
    found = measured[1]
    # A task that takes a second or more on a busy machine is asked for.
    found["query_workflow"] = min(found["query_workflow"], expected_actions()["query_workflow"])
    assert found == expected_actions()


def test_the_documents_tables_are_those_of_the_model() -> None:
    text = cost_tables.DOCUMENT.read_text()
    assert text == cost_tables.written(text), "run: python bench/cost_tables.py --write"
