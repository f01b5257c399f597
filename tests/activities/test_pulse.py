"""Nodes that block their worker's event loop."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from temporalio import activity
from typing_extensions import TypedDict

from perdure import durable
from perdure.testing import PerdureEnvironment

LIMIT = timedelta(seconds=1)
BLOCKED_SECONDS = 4.0


class State(TypedDict, total=False):
    blocking: int
    beside: int


class Blocking:
    """Two nodes at a time, one of which blocks the event loop for longer than both may be silent."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.left: list[Any] = []

    async def blocking(self, state: State) -> State:
        self.calls.append("blocking")
        self.left.append(list(activity.info().heartbeat_details))
        if len(self.left) == 1:
            raise ConnectionError("once")
        if len(self.left) == 2:
            time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251 - what this is about
            raise ConnectionError("once more")
        return {"blocking": activity.info().attempt}

    def beside(self, state: State) -> State:
        self.calls.append("beside")
        time.sleep(BLOCKED_SECONDS)
        return {"beside": activity.info().attempt}

    def graph(self) -> Any:
        builder = StateGraph(State)
        for node in (self.blocking, self.beside):
            builder.add_node(node.__name__, node, metadata=durable(heartbeat=LIMIT))
            builder.add_edge(START, node.__name__)
        return builder.compile()


@pytest.mark.parametrize("replay_every_task", [True, False])
async def test_a_node_that_blocks_the_event_loop_is_not_taken_for_dead(
    replay_every_task: bool, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = Blocking()
    async with PerdureEnvironment.start(
        {"g": nodes.graph()}, time_skipping=False, replay_every_task=replay_every_task
    ) as env:
        with caplog.at_level(logging.WARNING, "perdure.activities.pulse"):
            run = await env.start("g", {}, thread_id="blocked")
            result = await run.result()
    # Each attempt ended as the node says, and none was made again beside it.
    assert result == {"blocking": 3, "beside": 1}
    assert sorted(nodes.calls) == ["beside", "blocking", "blocking", "blocking"]
    # What the first attempt left is still known to the third.
    kinds = [details[1]["failures"] for details in nodes.left[1:]]
    assert kinds == [["connection"], ["connection", "connection"]]
    told = [record.getMessage() for record in caplog.records if record.name == "perdure.activities.pulse"]
    assert any("blocked blocking:" in text and "`def`" in text for text in told), told
    assert len(told) == len({*told})
