"""Runs as the HTTP server starts them: they end when they ask. Replayed at every task, carried over after every call."""

from __future__ import annotations

import asyncio
import operator
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
from temporalio.common import RetryPolicy
from typing_extensions import TypedDict

from perdure import current_effect, effect
from perdure.contract.run import RunsRequest
from perdure.contract.state import HistoryRequest
from perdure.contract.thread import RunRequest
from perdure.errors import RunFailed, ThreadNotFound
from perdure.server.threads import ServedThreads
from perdure.testing import PerdureEnvironment

ONCE = RetryPolicy(maximum_attempts=1)


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


def sequence(*nodes: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence(nodes)
    builder.add_edge(START, nodes[0].__name__)
    return builder.compile()


def one(state: State) -> dict[str, Any]:
    return {"log": ["one"]}


def ask(state: State) -> dict[str, Any]:
    return {"log": [interrupt("first?"), interrupt("second?")]}


def last(state: State) -> dict[str, Any]:
    return {"log": ["last"]}


class Served:
    """One thread, as the server has it."""

    def __init__(self, env: PerdureEnvironment, *, carry_every: int = 1) -> None:
        self.env = env
        self.threads = ServedThreads(env.perdure, carry_every=carry_every)
        self.id = uuid.uuid4().hex

    async def start(self, graph: str, input: Any, **options: Any) -> str:
        request = RunRequest(
            id=uuid.uuid4().hex, input=input, graph=graph, ends_when_interrupted=True, assistant_id=graph
        )
        await self.threads.start_run(self.id, replace(request, **options), create={"made": "here"})
        return request.id

    async def run(self, graph: str, input: Any, **options: Any) -> Any:
        return await self.threads.result(self.id, await self.start(graph, input, **options))

    async def statuses(self) -> list[str]:
        return [run.status for run in (await self.threads.runs(self.id, RunsRequest()))[::-1]]


@asynccontextmanager
async def served(*nodes: Any, carry_every: int = 1, time_skipping: bool = False) -> AsyncIterator[Served]:
    graphs = {"g": sequence(*nodes), "h": sequence(last)}
    async with PerdureEnvironment.start(graphs, time_skipping=time_skipping) as env:
        yield Served(env, carry_every=carry_every)


async def test_questions_runs_and_metadata_survive_continuing_as_new() -> None:
    async with served(one, ask, last) as thread:
        assert (await thread.run("g", {"log": []}))["log"] == ["one"]
        assert (await thread.threads.state(thread.id)).status == "interrupted"
        await thread.run("g", Command(resume="a"))
        [pending] = (await thread.threads.state(thread.id)).interrupts
        assert pending.value == "second?"
        assert (await thread.run("g", Command(resume={pending.id: "b"})))["log"] == ["one", "a", "b", "last"]
        assert (await thread.run("h", {"log": ["more"]}))["log"][-2:] == ["more", "last"]
        assert await thread.statuses() == ["success"] * 4
        state = await thread.threads.state(thread.id)
        assert (state.status, state.graph) == ("idle", "h")
        assert state.metadata == {"made": "here", "graph_id": "h", "assistant_id": "h"}
        await thread.threads.delete(thread.id)
        with pytest.raises(ThreadNotFound):
            await thread.threads.state(thread.id)
        with pytest.raises(ThreadNotFound):
            await thread.threads.line(thread.id)


async def test_an_answer_by_update_starts_a_run_that_takes_it() -> None:
    async with served(ask) as thread:
        await thread.run("g", {"log": []})
        [pending] = (await thread.threads.state(thread.id)).interrupts
        await thread.env.perdure.resume(thread.id, {pending.id: "a"})
        async with asyncio.timeout(60):
            while await thread.statuses() != ["success", "success"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        [pending] = (await thread.threads.state(thread.id)).interrupts
        assert pending.value == "second?"


async def test_a_deadline_is_kept_after_the_run_has_ended() -> None:
    def wait(state: State) -> dict[str, Any]:
        question = {"question": "now?", "expires_in": 3600, "on_expiry": "too late"}
        return {"log": [interrupt(question)]}

    async with served(wait, time_skipping=True) as thread:
        await thread.run("g", {"log": []})
        await thread.env.advance(timedelta(hours=2))
        async with asyncio.timeout(60):
            while (await thread.threads.state(thread.id)).values != {"log": ["too late"]}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("carry_every", [0, 1])
async def test_what_a_run_did_before_it_asked_is_undone_by_the_run_that_answers(carry_every: int) -> None:
    applied: dict[str, str] = {}
    asked: list[str] = []

    def undo(name: str, result: Any, key: str) -> None:
        applied.pop(key)

    @effect(undo=undo, retry=ONCE)
    async def act(name: str) -> str:
        asked.append(current_effect().key)
        applied[current_effect().key] = name
        return name

    async def charge(state: State) -> dict[str, Any]:
        return {"log": [await act("charge")]}

    async def book(state: State) -> dict[str, Any]:
        done = await act("book")
        return {"log": [done, interrupt("ship?")]}

    def ship(state: State) -> dict[str, Any]:
        raise ValueError("no ship")

    async with served(charge, book, ship, carry_every=carry_every) as thread:
        await thread.run("g", {"log": []})
        assert sorted(applied.values()) == ["book", "charge"]
        with pytest.raises(RunFailed):
            await thread.run("g", Command(resume="yes"))
        assert applied == {}
        assert len(asked) == len(set(asked)) == 2
        assert await thread.statuses() == ["success", "error"]


async def test_other_input_leaves_what_was_done() -> None:
    applied: list[str] = []

    @effect(undo=lambda name: applied.remove(name), retry=ONCE)
    async def act(name: str) -> str:
        applied.append(name)
        return name

    async def book(state: State) -> dict[str, Any]:
        return {"log": [await act(f"book {len(state['log'])}")]}

    def check(state: State) -> dict[str, Any]:
        if "bad" in state["log"]:
            raise ValueError("bad")
        return {"log": [interrupt("ok?")]}

    async with served(book, check) as thread:
        await thread.run("g", {"log": []})
        with pytest.raises(RunFailed):
            await thread.run("g", {"log": ["bad"]})
        assert applied == ["book 0"]


async def test_a_rolled_back_run_leaves_no_trace_also_after_continuing_as_new() -> None:
    reached = asyncio.Event()

    async def hang(state: State) -> dict[str, Any]:
        reached.set()
        await asyncio.sleep(600)
        return {}

    async with served(one, last, hang) as thread:
        await thread.run("h", {"log": ["kept"]})
        before = (await thread.threads.history(thread.id, _latest()))[0]
        run = await thread.start("g", {"log": ["gone"]})
        await reached.wait()
        assert await thread.threads.cancel(thread.id, run, action="rollback", wait=True)
        after = (await thread.threads.history(thread.id, _latest()))[0]
        assert (after.checkpoint_id, after.values) == (before.checkpoint_id, {"log": ["kept", "last"]})
        assert await thread.statuses() == ["success"]
        assert (await thread.run("h", {"log": []}))["log"] == ["kept", "last", "last"]


async def test_a_refused_run_leaves_no_trace() -> None:
    async with served(ask) as thread:
        await thread.run("g", {"log": []})
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await thread.start("g", Command(resume={"f" * 32: "x"}))
        assert "no interrupt" in str(refused.value.cause)
        assert await thread.statuses() == ["success"]
        with pytest.raises(RunFailed, match="nobody"):
            await thread.run("nobody", {"log": []})
        assert await thread.statuses() == ["success", "error"]


def _latest() -> Any:
    return HistoryRequest(limit=1)
