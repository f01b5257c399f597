"""The functional API: entrypoints, tasks, `previous`, and tasks called from graph nodes."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy, interrupt
from typing_extensions import TypedDict

from perdure.errors import RunFailed
from perdure.testing import PerdureEnvironment


class Counted:
    """Tasks that count their calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

        @task
        def double(value: int) -> int:
            self.calls.append(value)
            return value * 2

        self.double = double


@pytest.mark.compat("Functional API: `@entrypoint` and `@task`, sync and async, parallel, nested, in nodes")
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_parallel_tasks_and_their_futures(kind: str) -> None:
    double = Counted().double

    @entrypoint()
    def flow(count: int) -> list[int]:
        futures = [double(n) for n in range(count)]
        return [future.result() for future in futures]

    @entrypoint()
    async def aflow(count: int) -> list[int]:
        return await asyncio.gather(*[double(n) for n in range(count)])

    async with PerdureEnvironment.start({"flow": flow if kind == "sync" else aflow}) as env:
        assert await (await env.start("flow", 4)).result() == [0, 2, 4, 6]


@pytest.mark.compat("Functional API: interrupts in tasks; finished tasks are not run again")
async def test_finished_tasks_are_kept_across_interrupts() -> None:
    counted = Counted()
    double = counted.double

    @task
    def ask(question: str) -> str:
        return f"{question} {interrupt(question)}"

    @entrypoint()
    def flow(value: int) -> list[Any]:
        first = double(value).result()
        one = ask("one?").result()
        second = double(first).result()
        return [first, one, second, interrupt("two?")]

    async with PerdureEnvironment.start({"flow": flow}) as env:
        run = await env.start("flow", 1)
        [item] = await run.wait_for_approvals()
        assert item.value == "one?"
        await run.resume({item.id: "yes"})
        [item] = await run.wait_for_approvals()
        assert item.value == "two?"
        await run.resume("done")
        assert await run.result() == [2, "one? yes", 4, "done"]
    assert counted.calls == [1, 2]


@pytest.mark.compat("Functional API: `previous`, `entrypoint.final`")
async def test_previous_and_final_on_a_kept_thread() -> None:
    @entrypoint()
    def total(value: int, *, previous: int | None = None) -> Any:
        before = previous or 0
        return entrypoint.final(value=before, save=before + value)

    async with PerdureEnvironment.start({"total": total}) as env:
        seen = [
            await (await env.start("total", value, thread_id="t", keep_open=True)).result()
            for value in (1, 2, 3)
        ]
    assert seen == [0, 1, 3]


@pytest.mark.compat("Functional API: `@entrypoint` and `@task`, sync and async, parallel, nested, in nodes")
async def test_a_node_may_call_tasks() -> None:
    class State(TypedDict):
        log: Annotated[list[int], operator.add]

    double = Counted().double

    async def node(state: State) -> dict[str, Any]:
        return {"log": [await double(4), await double(5)]}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        assert await (await env.start("g", {"log": []})).result() == {"log": [8, 10]}


async def test_a_second_attempt_keeps_the_tasks_that_the_first_had_finished() -> None:
    counted = Counted()
    double = counted.double
    attempts = 0

    @entrypoint()
    def flow(value: int) -> int:
        nonlocal attempts
        attempts += 1
        result = double(value).result()
        if attempts < 3:
            raise ConnectionError("lost")
        return result

    async with PerdureEnvironment.start({"flow": flow}, time_skipping=False) as env:
        assert await (await env.start("flow", 5)).result() == 10
    assert attempts == 3
    assert counted.calls == [5]


async def test_a_tasks_own_retry_policy_and_its_failure() -> None:
    calls = 0

    @task(retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.01, retry_on=KeyError))
    def flaky() -> int:
        nonlocal calls
        calls += 1
        raise KeyError("never")

    @entrypoint()
    def flow(value: int) -> int:
        return flaky().result()

    async with PerdureEnvironment.start({"flow": flow}) as env:
        with pytest.raises(RunFailed, match="KeyError"):
            await (await env.start("flow", 1)).result()
    assert calls == 3
