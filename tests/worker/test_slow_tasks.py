"""Workflow tasks that take longer than the SDK is patient: they are not cut short, and if they are, nothing is lost."""

from __future__ import annotations

import asyncio
import operator
import time
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Send
from temporalio.api.enums.v1 import EventType
from typing_extensions import TypedDict

from perdure.testing import PerdureEnvironment


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def graph(router: Callable[[State], Any]) -> Any:
    builder = StateGraph(State)
    builder.add_node("split", lambda _: {"log": ["split"]})
    builder.add_node("piece", lambda _: {"log": ["piece"]})
    builder.add_edge(START, "split")
    builder.add_conditional_edges("split", router, ["piece"])
    return builder.compile()


async def event_types(env: PerdureEnvironment) -> set[int]:
    history = await env.client.get_workflow_handle("t").fetch_history()
    return {event.event_type for event in history.events}


async def test_a_router_that_thinks_for_long_is_heard_out() -> None:
    def route(_: State) -> list[Send]:
        time.sleep(2.5)
        return [Send("piece", {})]

    async with PerdureEnvironment.start({"g": graph(route)}, replay_every_task=False) as env:
        run = await env.start("g", {"log": []}, thread_id="t")
        assert (await run.result())["log"] == ["split", "piece"]
        assert EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in await event_types(env)


async def test_a_worker_stops_though_its_workflows_were_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workflow that is dropped while a thread still runs it is dropped when that has ended."""
    monkeypatch.setattr("perdure.worker.plugin._PATIENCE_SECONDS", 0.06)
    branches = graph(lambda _: [Send("piece", {}) for _ in range(300)])
    async with PerdureEnvironment.start({"g": branches}, replay_every_task=False) as env:
        await env.start("g", {"log": []}, thread_id="t")
        while EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in await event_types(env):  # noqa: ASYNC110 - the server knows
            await asyncio.sleep(0.1)
