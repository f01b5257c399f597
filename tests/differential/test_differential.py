"""The same graph, natively and through Perdure: same values, same questions, same errors.

Perdure's side runs with a full replay at every workflow task, and once more continuing as new after every node call.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from random_graphs import Graph, Node, build, graphs

from perdure.errors import RunFailed
from perdure.testing import PerdureEnvironment

LIMIT = 9
MOST_STOPS = 4
INPUT: dict[str, Any] = {"log": ["start"], "total": 0, "last": ""}


@dataclass
class Outcome:
    """What a run showed: the questions of each stop, then its values or its error."""

    questions: list[list[str]]
    values: Any = None
    error: str | None = None


async def natively(graph: Any) -> Outcome:
    saved = graph.copy({"checkpointer": InMemorySaver()})
    config = {"configurable": {"thread_id": "1"}, "recursion_limit": LIMIT}
    outcome, value = Outcome([]), INPUT
    while True:
        try:
            result = await saved.ainvoke(value, config)
        except Exception as error:
            outcome.error = type(error).__name__
            return outcome
        stops = result.pop("__interrupt__", ())
        if not stops:
            outcome.values = result
            return outcome
        outcome.questions.append(sorted(stop.value for stop in stops))
        if len(outcome.questions) == MOST_STOPS:
            return outcome  # it asks for ever
        value = Command(resume={stop.id: f"answer to {stop.value}" for stop in stops})


async def through_perdure(graph: Any, *, carry_every: int) -> Outcome:
    outcome = Outcome([])
    async with PerdureEnvironment.start({"g": graph}, carry_every=carry_every) as env:
        run = await env.start("g", INPUT, config={"recursion_limit": LIMIT})
        try:
            while items := await run.wait_for_approvals():
                outcome.questions.append(sorted(item.value for item in items))
                if len(outcome.questions) == MOST_STOPS:
                    return outcome
                await run.resume({item.id: f"answer to {item.value}" for item in items})
            outcome.values = await run.result()
        except RunFailed as error:
            outcome.error = error.cause_type
    return outcome


def compare(spec: Graph, carry_every: int) -> None:
    try:
        graph = build(spec)
    except ValueError:
        return  # LangGraph refuses it at compile time

    async def both() -> tuple[Outcome, Outcome]:
        async with asyncio.timeout(60):
            return await natively(graph), await through_perdure(graph, carry_every=carry_every)

    native, ours = asyncio.run(both())
    assert ours == native


@pytest.mark.timeout(300)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_random_graphs_replayed_at_every_task(spec: Graph) -> None:
    compare(spec, carry_every=0)


@pytest.mark.timeout(300)
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_random_graphs_continued_as_new_after_every_call(spec: Graph) -> None:
    compare(spec, carry_every=1)


CASES = {
    "parallel questions": Graph(
        (Node("ask", "edges", (9,), False), Node("ask twice", "edges", (9,), True)), (0, 1)
    ),
    "a question in a sent branch": Graph(
        (Node("log", "sends", (1,), False), Node("ask", "edges", (9,), False)), (0,)
    ),
    "a subgraph asks beside a node": Graph(
        (
            Node("asking subgraph", "edges", (2,), False),
            Node("ask", "edges", (2,), False),
            Node("log", "edges", (9,), False),
        ),
        (0, 1),
    ),
    "two write one value": Graph(
        (Node("last", "edges", (9,), False), Node("last", "edges", (9,), True)), (0, 1)
    ),
    "one of two fails": Graph(
        (Node("log", "edges", (0, 1), True), Node("fail late", "router", (0,), False)), (0, 1)
    ),
    "a command in a loop": Graph(
        (Node("sum", "command", (0, 1), False), Node("log", "command", (9,), True)), (0,)
    ),
}


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("carry_every", [0, 1])
def test_by_hand(name: str, carry_every: int) -> None:
    compare(CASES[name], carry_every)
