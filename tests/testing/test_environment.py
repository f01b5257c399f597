"""The environment on both servers, and its promise to replay at every task."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from perdure.contract import names
from perdure.testing import PerdureEnvironment


class State(TypedDict):
    value: Any


def graph_of(node: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


@pytest.mark.parametrize("time_skipping", [True, False])
@pytest.mark.parametrize("replay_every_task", [True, False])
async def test_a_users_test_in_five_lines(time_skipping: bool, replay_every_task: bool) -> None:
    graph = graph_of(lambda state: {"value": interrupt("ok?")})
    async with PerdureEnvironment.start(
        {"g": graph}, time_skipping=time_skipping, replay_every_task=replay_every_task
    ) as env:
        run = await env.start("g", {"value": None}, thread_id="t1")
        [pending] = await run.wait_for_approvals()
        await run.resume({pending.id: "approve"})
        assert await run.result() == {"value": "approve"}
        assert run.handle.id == "t1"


async def test_the_dev_server_lists_threads_by_status() -> None:
    graph = graph_of(lambda state: {"value": interrupt("ok?")})
    async with PerdureEnvironment.start({"g": graph}, time_skipping=False) as env:
        run = await env.start("g", {"value": None}, thread_id="waits")
        await run.wait_for_approvals()
        found: list[Any] = []
        while not found:
            found = [t async for t in env.perdure.list(f"{names.SEARCH_STATUS} = 'interrupted'")]
        [thread] = found
        assert (thread.thread_id, thread.graph, thread.status, thread.pending) == (
            "waits",
            "g",
            "interrupted",
            1,
        )


async def test_time_passes_at_once_with_time_skipping() -> None:
    graph = graph_of(lambda state: {"value": interrupt({"expires_in": 10 * 24 * 3600, "on_expiry": "late"})})
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"value": None})
        await run.wait_for_approvals()
        await env.advance(timedelta(days=11))
        assert await run.result() == {"value": "late"}


async def test_two_environments_in_one_process_keep_their_graphs_apart() -> None:
    async with (
        PerdureEnvironment.start({"g": graph_of(lambda state: {"value": 1})}) as one,
        PerdureEnvironment.start({"g": graph_of(lambda state: {"value": 2})}) as two,
    ):
        first, second = await one.start("g", {"value": 0}), await two.start("g", {"value": 0})
        assert (await first.result(), await second.result()) == ({"value": 1}, {"value": 2})
