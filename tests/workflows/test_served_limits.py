"""The limits of a project hold for the runs that the HTTP server starts, too; also between runs, while a question waits."""

from __future__ import annotations

import asyncio
import operator
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from temporalio.client import WorkflowUpdateFailedError
from typing_extensions import TypedDict

from perdure import Budget, effect
from perdure.client import PerdureClient
from perdure.contract.limits import RunLimits
from perdure.contract.run import RunsRequest
from perdure.contract.thread import RunRequest
from perdure.errors import RunFailed
from perdure.server.threads import ServedThreads
from perdure.testing import PerdureEnvironment, ScriptedChatModel

_done: list[str] = []


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


@effect(undo=lambda name: _done.append(f"undone {name}"))
async def act(name: str) -> str:
    _done.append(f"done {name}")
    return name


async def book(state: State) -> dict[str, Any]:
    return {"log": [await act("room")]}


def ask(state: State) -> dict[str, Any]:
    return {"log": [interrupt("keep it?")]}


async def hang(state: State) -> dict[str, Any]:
    await asyncio.sleep(600)
    return {}


async def think(state: State) -> dict[str, Any]:
    model = ScriptedChatModel(reply_to=lambda messages: "thought")
    return {"log": [(await model.ainvoke(f"{len(state['log'])}")).text for _ in range(2)]}


def graph(*nodes: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence(nodes)
    builder.add_edge(START, nodes[0].__name__)
    return builder.compile()


class Served:
    """One thread, as the server has it."""

    def __init__(self, env: PerdureEnvironment, limits: RunLimits) -> None:
        self.env = env
        client = PerdureClient(env.perdure.temporal, task_queue=env.perdure.task_queue, limits=limits)
        self.threads = ServedThreads(client, carry_every=1)
        self.id = uuid.uuid4().hex

    async def start(self, input: Any, **options: Any) -> str:
        request = RunRequest(id=uuid.uuid4().hex, input=input, graph="g", ends_when_interrupted=True)
        await self.threads.start_run(self.id, replace(request, **options), create={})
        return request.id

    async def run(self, input: Any, **options: Any) -> Any:
        return await self.threads.result(self.id, await self.start(input, **options))

    async def until(self, *statuses: str) -> None:
        async with asyncio.timeout(60):
            while [r.status for r in (await self.threads.runs(self.id, RunsRequest()))[::-1]] != [*statuses]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@asynccontextmanager
async def served(*nodes: Any, **limits: Any) -> AsyncIterator[Served]:
    _done.clear()
    async with PerdureEnvironment.start({"g": graph(*nodes)}, time_skipping=False) as env:
        yield Served(env, RunLimits(**limits))


async def test_a_question_that_nobody_answers_in_time_fails_a_run_and_undoes_what_was_done() -> None:
    async with served(book, ask, approval_timeout=timedelta(seconds=3)) as thread:
        await thread.run({"log": []})
        assert (await thread.threads.state(thread.id)).status == "interrupted"
        assert _done == ["done room"]
        await thread.until("success", "error")
        [run] = await thread.threads.runs(thread.id, RunsRequest(limit=1))
        assert run.error is not None
        assert "nobody has answered" in run.error["message"]
        assert _done == ["done room", "undone room"]
        assert (await thread.threads.state(thread.id)).interrupts == ()
        with pytest.raises(WorkflowUpdateFailedError, match="Workflow update failed"):
            await thread.start(Command(resume="yes"))
        await thread.run({"log": ["again"]})
        assert (await thread.threads.state(thread.id)).status == "interrupted"


async def test_an_answer_in_time_is_taken_however_long_the_run_that_asked_is_over() -> None:
    async with served(book, ask, deadline=timedelta(seconds=3)) as thread:
        await thread.run({"log": []})
        await asyncio.sleep(3)
        await thread.env.perdure.resume(thread.id, "yes")
        await thread.until("success", "success")
        assert (await thread.threads.state(thread.id)).values == {"log": ["room", "yes"]}


async def test_a_deadline_counts_from_when_the_run_is_to_begin() -> None:
    async with served(hang, deadline=timedelta(seconds=1)) as thread:
        begun = time.time()
        with pytest.raises(RunFailed) as failed:
            await thread.run({"log": []}, wait_until=begun + 2)
        assert failed.value.cause_type == "RunExpired"
        assert time.time() >= begun + 3


async def test_who_is_asked_for_a_larger_budget_answers_with_another_run() -> None:
    budget = Budget(model_calls=1, on_exhausted="ask")
    async with served(think, budget=budget, thread_budget=Budget(model_calls=2)) as thread:
        first = await thread.start({"log": []})
        async with asyncio.timeout(60):
            while not (asked := (await thread.threads.state(thread.id)).interrupts):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert asked[0].node == "budget"
        with pytest.raises(WorkflowUpdateFailedError):
            await thread.start(Command(resume={"f" * 32: "approve"}))
        second = await thread.start(Command(resume={asked[0].id: "approve"}), multitask_strategy="reject")
        assert await thread.threads.result(thread.id, first) == {"log": ["thought", "thought"]}
        assert await thread.threads.result(thread.id, second) == {"log": ["thought", "thought"]}
        await thread.until("success", "success")
        with pytest.raises(RunFailed) as failed:
            await thread.run({"log": []})
        assert failed.value.cause_type == "BudgetExhausted"
