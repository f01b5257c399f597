"""The traps of running LangGraph on Temporal: what each would do to a user, and the test that watches it."""

from __future__ import annotations

import operator
import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import RetryPolicy
from typing_extensions import TypedDict

from perdure import durable
from perdure.errors import InterruptUnknown
from perdure.testing import PerdureEnvironment

TESTS = Path(__file__).parent.parent

TRAPS: dict[str, tuple[str, ...]] = {
    "a sync router, node or callback is never called": (
        "workflows/test_commands.py::test_routers",
        "workflows/test_agents.py::test_callbacks_and_bound_config_of_the_graph_reach_its_nodes",
    ),
    "message ids change at a replay": (
        "workflows/test_traps.py::test_message_ids_are_the_same_at_every_replay",
    ),
    "checkpoint and interrupt ids change at a replay": (
        "workflows/test_interrupts.py::test_interrupt_ids_do_not_change_on_replay",
        "workflows/test_interrupts.py::test_an_unknown_or_used_id_is_refused_and_leaves_no_trace",
    ),
    "the second interrupt of a node never gets its answer": (
        "workflows/test_interrupts.py::test_two_interrupts_in_one_node_get_an_answer_each",
        "workflows/test_middleware.py::test_tools_that_ask",
    ),
    "messages arrive as dicts": (
        "workflows/test_runs.py::test_messages_keep_their_types_and_ids",
        "workflows/test_agents.py::test_a_react_loop_of_tool_node_and_tools_condition",
    ),
    "ordinary parts of a graph are refused or ignored": (
        "workflows/test_node_kinds.py::test_nodes_of_every_kind",
        "workflows/test_node_kinds.py::test_injection_by_annotation",
        "workflows/test_subgraphs.py::test_three_deep",
        "workflows/test_middleware.py::test_built_in_middleware",
        "workflows/test_deepagents.py::test_plans_and_files",
    ),
    "results are remembered by function and arguments": (
        "workflows/test_traps.py::test_every_call_is_made",
        "workflows/test_graph_policies.py::test_a_loop_that_polls_is_cached_only_where_that_was_asked",
    ),
    "commands and lists of them cannot be stored": (
        "workflows/test_commands.py::test_what_a_node_returns_decides_what_comes_next",
    ),
    "every activity carries the whole state": (
        "workflows/test_traps.py::test_what_a_step_adds_to_the_history_does_not_grow",
    ),
    "what goes wrong in a graph holds the workflow task for ever": (
        "workflows/test_runs.py::test_recursion_and_router_errors_fail_the_run",
        "workflows/test_nothing_wedges.py::test_a_reducer_that_raises",
        "workflows/test_policies.py::test_a_result_of_an_unknown_type_is_a_clear_error",
    ),
    "retries without end, and of what cannot help": (
        "workflows/test_policies.py::test_every_activity_has_a_timeout_and_a_finite_retry_policy",
        "workflows/test_runs.py::test_a_programming_error_is_not_retried",
        "activities/test_failures.py::test_a_status_that_stays_is_not_retried",
    ),
    "Retry-After is read as a whole number": (
        "activities/test_failures.py::test_retry_after_is_read_in_every_form",
    ),
    "a cancelled run leaves its calls running": (
        "workflows/test_policies.py::test_cancelling_a_run_cancels_the_node_that_is_under_way",
    ),
    "continuing as new forgets what waits for approval": (
        "workflows/test_threads.py::test_continue_as_new_keeps_sends_subgraphs_interrupts_and_their_answers",
        "workflows/test_middleware.py::test_several_calls_of_one_batch_are_decided_together",
    ),
    "an approval has no deadline": (
        "workflows/test_interrupts.py::test_a_deadline_answers_in_the_humans_place",
    ),
    "the user's graph object is changed": (
        "workflows/test_runs.py::test_the_users_graph_is_not_changed",
        "workflows/test_traps.py::test_one_graph_object_serves_two_workers_and_plain_runs",
    ),
    "a long run is ended by the limit of its history": (
        "workflows/test_threads.py::test_a_run_continues_as_new_in_its_middle",
        "workflows/test_middleware.py::test_a_runs_limits_hold_across_continuing_as_new",
    ),
    "ids and order differ between processes": (
        "replay/test_replay.py::test_kept_histories_replay_in_another_process",
        "replay/test_replay.py::test_a_fresh_history_replays_in_another_process",
    ),
    "a decision that comes before its question decides it": (
        "workflows/test_traps.py::test_an_answer_before_its_question_is_refused",
    ),
    "a dead worker is noticed late": ("faults/test_crashes.py::test_a_worker_killed_inside_a_step",),
}


@pytest.mark.parametrize("trap", list(TRAPS))
def test_every_trap_has_its_tests(trap: str) -> None:
    for place in TRAPS[trap]:
        path, _, name = place.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (TESTS / path).read_text(), re.MULTILINE), place


async def test_message_ids_are_the_same_at_every_replay() -> None:
    seen: list[list[str]] = []

    def look(state: MessagesState) -> dict[str, Any]:
        seen.append([str(message.id) for message in state["messages"]])
        return {"messages": [AIMessage("answer")]}

    def forget(state: MessagesState) -> dict[str, Any]:
        look(state)
        return {"messages": [RemoveMessage(id=str(message.id)) for message in state["messages"][:-1]]}

    builder = StateGraph(MessagesState).add_sequence(
        [("a", look), ("b", look), ("forget", forget), ("c", look)]
    )
    async with PerdureEnvironment.start({"g": builder.add_edge(START, "a").compile()}) as env:
        result = await (await env.start("g", {"messages": [HumanMessage("hi"), ("user", "there")]})).result()
    first, second, third, last = seen
    assert second[: len(first)] == first
    assert third[: len(second)] == second
    assert last == third[-1:]
    assert result["messages"][0].id == last[0]


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


async def test_every_call_is_made() -> None:
    calls: list[int] = []

    def poll(state: Log) -> dict[str, Any]:
        calls.append(1)
        return {}

    builder = StateGraph(Log).add_node("poll", poll).add_node("again", poll).add_edge(START, "poll")
    builder.add_node("count", lambda state: {"log": ["turn"]}, metadata=durable(run_in="workflow"))
    builder.add_edge("poll", "again").add_edge("again", "count")
    builder.add_conditional_edges("count", lambda state: "poll" if len(state["log"]) < 3 else END)
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        await (await env.start("g", {"log": []})).result()
    assert len(calls) == 6


async def test_what_a_step_adds_to_the_history_does_not_grow() -> None:
    builder = StateGraph(Log).add_node("add", lambda state: {"log": [f"{len(state['log'])}" * 1000]})
    builder.add_edge(START, "add")
    builder.add_conditional_edges("add", lambda state: "add" if len(state["log"]) < 40 else END)
    async with PerdureEnvironment.start({"g": builder.compile()}, replay_every_task=False) as env:
        run = await env.start("g", {"log": []}, config={"recursion_limit": 100})
        await run.result()
        events = (await run.handle.fetch_history()).events
    scheduled = [e.ByteSize() for e in events if e.HasField("activity_task_scheduled_event_attributes")]
    completed = [e.ByteSize() for e in events if e.HasField("activity_task_completed_event_attributes")]
    assert len(scheduled) == len(completed) == 40
    assert max(scheduled) < 1000
    assert completed[-1] < completed[20] + 100


async def test_one_graph_object_serves_two_workers_and_plain_runs() -> None:
    graph = (
        StateGraph(Log)
        .add_node("node", lambda state: {"log": ["ran"]}, retry_policy=RetryPolicy(), metadata={"mine": 1})
        .add_edge(START, "node")
        .compile()
    )
    async with (
        PerdureEnvironment.start({"a": graph}) as one,
        PerdureEnvironment.start({"b": graph, "c": graph}) as other,
    ):
        for env, name in ((one, "a"), (other, "b"), (other, "c")):
            assert await (await env.start(name, {"log": []})).result() == {"log": ["ran"]}
            assert graph.invoke({"log": []}) == {"log": ["ran"]}


async def test_an_answer_before_its_question_is_refused() -> None:
    graph = StateGraph(Log).add_node("node", lambda state: {}).add_edge(START, "node")
    async with PerdureEnvironment.start({"g": graph.compile(interrupt_before=["node"])}, worker=False) as env:
        run = await env.start("g", {"log": []})
        async with env.worker():
            [question] = await run.wait_for_approvals()
            with pytest.raises(InterruptUnknown):
                await run.resume({"breakpoint:1": True})
            await run.resume({question.id: True})
            with pytest.raises(InterruptUnknown):
                await run.resume({question.id: True})
            await run.result()


async def test_only_a_node_with_code_of_its_own_takes_an_activity() -> None:
    inner = (
        StateGraph(Log)
        .add_node("inside", lambda state: {"log": ["inside"]})
        .add_edge(START, "inside")
        .compile()
    )
    builder = StateGraph(Log).add_node("inner", inner)
    builder.add_node("node", lambda state: {"log": ["node"]})
    builder.add_edge(START, "inner").add_edge("inner", "node")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"log": []})
        await run.result()
        events = (await run.handle.fetch_history()).events
    scheduled = [e for e in events if e.HasField("activity_task_scheduled_event_attributes")]
    assert [e.activity_task_scheduled_event_attributes.activity_id for e in scheduled] == [
        "inside:1",
        "node:2",
    ]
