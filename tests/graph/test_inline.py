"""Library mode: a graph built and run inside a user's own workflow, in Temporal's sandbox."""

from __future__ import annotations

import operator
import uuid
from datetime import timedelta
from typing import Annotated, Any, Literal

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy as GraphRetryPolicy
from temporalio import activity, workflow
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker
from typing_extensions import TypedDict

from perdure import LLM_RETRY, PerdurePlugin, run_graph
from perdure.devserver.binary import find_test_server


@activity.defn
async def shout(text: str) -> str:
    return text.upper()


class State(TypedDict):
    log: Annotated[list[str], operator.add]


async def by_activity(state: State) -> dict[str, Any]:
    word = await workflow.execute_activity(
        shout, state["log"][-1], start_to_close_timeout=timedelta(seconds=10), retry_policy=LLM_RETRY
    )
    return {"log": [word]}


def inline(state: State) -> dict[str, Any]:
    return {"log": [state["log"][-1] + "!"]}


def again(state: State) -> Literal["by_activity", "__end__"]:
    return "by_activity" if len(state["log"]) < 6 else "__end__"


@workflow.defn
class Library:
    @workflow.run
    async def run(self, word: str) -> list[str]:
        builder = StateGraph(State)
        builder.add_node("by_activity", by_activity, retry_policy=GraphRetryPolicy())
        builder.add_node("inline", inline)
        builder.add_edge(START, "by_activity")
        builder.add_edge("by_activity", "inline")
        builder.add_conditional_edges("inline", again)
        result = await run_graph(builder.compile(), {"log": [word]})
        return result["log"]


@workflow.defn
class Ids:
    @workflow.run
    async def run(self) -> list[str]:
        builder = StateGraph(MessagesState)
        builder.add_node("node", lambda state: {"messages": [("ai", "hi")]})
        builder.add_edge(START, "node")
        result = await run_graph(builder.compile(), {"messages": [HumanMessage("x")]})
        ids = [message.id for message in result["messages"]]
        await workflow.sleep(1)
        # Ids that changed on replay would give another activity input here, and another result at the end.
        return [
            await workflow.execute_activity(shout, i, start_to_close_timeout=timedelta(seconds=9))
            for i in ids
        ]


@workflow.defn
class Synchronous:
    @workflow.run
    async def run(self) -> None:
        builder = StateGraph(State)
        builder.add_node("inline", lambda state: builder.compile().invoke({"log": ["x"]}))
        builder.add_edge(START, "inline")
        await run_graph(builder.compile(), {"log": ["x"]})


async def execute(run: Any, *args: Any) -> tuple[Any, Any]:
    binary = find_test_server()
    path = str(binary.path) if binary else None
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=path) as env:
        queue = uuid.uuid4().hex
        async with Worker(
            env.client,
            task_queue=queue,
            workflows=[Library, Ids, Synchronous],
            activities=[shout],
            plugins=[PerdurePlugin()],
            max_cached_workflows=0,
            workflow_failure_exception_types=[RuntimeError],
        ):
            handle = await env.client.start_workflow(run, *args, id=queue, task_queue=queue)
            result = await handle.result()
            return result, await handle.fetch_history()


async def test_a_graph_runs_inside_a_users_workflow_with_a_plain_client_and_worker() -> None:
    result, history = await execute(Library.run, "hi")
    assert result == ["hi", "HI", "HI!", "HI!", "HI!!", "HI!!", "HI!!!"]
    await Replayer(workflows=[Library], plugins=[PerdurePlugin()]).replay_workflow(history)


async def test_message_ids_are_the_same_at_every_replay() -> None:
    result, history = await execute(Ids.run)
    assert len(set(result)) == 2
    scheduled = [
        event.activity_task_scheduled_event_attributes.input.payloads[0].data.decode().strip('"').upper()
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert scheduled == result


async def test_sync_invoke_in_a_workflow_is_refused() -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await execute(Synchronous.run)
    assert "ainvoke" in str(caught.value.cause)


async def test_run_graph_outside_a_workflow_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="ainvoke"):
        await run_graph(None, {})
