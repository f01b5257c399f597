"""One case run natively and through Perdure, and what of it must be the same.

`Outcome` is the one place that says what is compared: whoever adds something to compare adds a field here, and fills it in
`natively` and in `_finish`.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from temporalio.service import RPCError

from perdure.errors import RunFailed
from perdure.streams.wire import to_json
from perdure.testing import PerdureEnvironment

MOST_STOPS = 3
AT_ONCE = 12
POLL = timedelta(milliseconds=150)
CASE_SECONDS = 120.0


@dataclass(frozen=True)
class Case:
    """`build` makes the compiled graph without a checkpointer; its nodes may note their calls in the list they get.

    `inputs` are several runs on one thread; `limit` is the recursion limit that they name, if any. Interrupts are answered together, or `one_by_one`, with what `answer` says.
    """

    build: Callable[[list[str]], Any]
    inputs: tuple[Any, ...]
    limit: int | None = 25
    one_by_one: bool = False
    answer: Callable[[Any], Any] = lambda value: f"answer to {value}"
    context: Any = None


@dataclass
class Outcome:
    """What a case showed. Two that are equal are the same to whoever runs the graph."""

    stops: list[list[str]] = field(default_factory=list)
    """The questions of each stop, in order of their text: parallel ones have no order of their own."""
    ends: list[Any] = field(default_factory=list)
    """Each run's values, or the type of its error."""
    history: list[Any] = field(default_factory=list)
    """The thread's checkpoints, newest first."""
    updates: list[Any] = field(default_factory=list)
    """What the stream of updates says, step by step: the nodes of one step have no order of their own. Not told of a run that
    failed."""
    calls: Counter[str] = field(default_factory=Counter)
    """How often each node ran; not told of a run that failed, which stops nodes wherever they are."""
    length: int = field(default=0, compare=False)
    """How many node calls there were in all."""

    def failed(self, kind: str) -> None:
        self.ends.append(f"failed: {kind}")

    @property
    def has_failed(self) -> bool:
        return any(isinstance(end, str) for end in self.ends)


def plain(value: Any) -> Any:
    """Values without what is random natively: the ids of messages."""
    match value:
        case BaseMessage():
            return (type(value).__name__, value.model_dump(exclude={"id"}))
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(plain(item) for item in value)
        case _:
            return value


def _saved(value: Any) -> Any:
    """Values as LangGraph's own savers keep them: tuples come back as lists."""
    match value:
        case dict():
            return {key: _saved(item) for key, item in value.items()}
        case list() | tuple():
            return [_saved(item) for item in value]
        case _:
            return value


async def natively(case: Case) -> Outcome:
    calls: list[str] = []
    graph = case.build(calls).copy({"checkpointer": InMemorySaver()})
    config = {"configurable": {"thread_id": "1"}, **_limit(case)}
    outcome = Outcome()
    # LangGraph writes `__interrupt__` into an input that is the state of a graph without channels of its own.
    for value in copy.deepcopy(case.inputs):
        while True:
            try:
                result = await graph.ainvoke(value, config, context=case.context, durability="sync")
            except Exception as error:
                outcome.failed(type(error).__name__)
                break
            state = await graph.aget_state(config)
            asked = result.get("__interrupt__", ()) if isinstance(result, dict) else ()
            stops = {stop.id: stop.value for stop in (*state.interrupts, *asked)}
            if not stops and state.next:  # interrupt_before or interrupt_after
                outcome.stops.append([repr({"breakpoint": list(state.next)})])
                value = None
            elif stops:
                outcome.stops.append(sorted(map(repr, stops.values())))
                value = Command(resume=_answers(case, stops))
            else:
                outcome.ends.append(plain(result))
                break
            if len(outcome.stops) == MOST_STOPS:
                break
    if not outcome.has_failed:
        outcome.updates = await _streamed_natively(case)
    history: list[Any] = []
    with suppress(ValueError):  # values that do not fit the graph's own state model
        history = [state async for state in graph.aget_state_history(config)]
    sources = [(state.metadata["step"], state.metadata["source"]) for state in history]
    return _finish(outcome, calls, history, sources)


async def _streamed_natively(case: Case) -> list[Any]:
    graph = case.build([]).copy({"checkpointer": InMemorySaver()})
    config = {"configurable": {"thread_id": "1"}, **_limit(case)}
    told: list[tuple[str, bytes]] = []
    most = MOST_STOPS
    for value in copy.deepcopy(case.inputs):
        while True:
            parts = graph.astream(
                value,
                config,
                context=case.context,
                stream_mode=["updates", "values"],
                output_keys=graph.output_channels,
                durability="sync",
            )
            said = [(mode, to_json(chunk)) async for mode, chunk in parts]
            told += said
            state = await graph.aget_state(config)
            asked = [
                orjson.loads(chunk).get("__interrupt__", ()) for mode, chunk in said if mode == "updates"
            ]
            stops = {stop.id: stop.value for stop in state.interrupts}
            stops |= {stop["id"]: stop["value"] for stop in itertools.chain(*asked)}
            if not state.next and not stops:
                break
            most -= 1
            if not most:
                break
            value = Command(resume=_answers(case, stops)) if stops else None
    return by_step(told, graph.nodes)


def by_step(told: Iterable[tuple[str, bytes]], nodes: Iterable[str]) -> list[Any]:
    """What was asked, in the order of its text; then the updates of `nodes` between one event with values and the next,
    likewise; without what is random natively. A `@task` has an update of its own natively, and none here."""
    told_of = {*nodes}
    asked: list[str] = []
    steps: list[list[str]] = [[]]
    for event, data in told:
        update: Any = orjson.loads(data)
        if event == "values":
            # Those with a question are told in the middle of a step: other branches may end before and after it.
            if not (isinstance(update, dict) and "__interrupt__" in update):
                steps.append([])
            continue
        asked += [json.dumps(item["value"]) for item in update.get("__interrupt__", ())]
        # What had ended before a question is told again when another branch goes on; how often is the branches' affair.
        if told_of & update.keys() and "__metadata__" not in update:
            steps[-1].append(json.dumps(_without_ids(update), sort_keys=True))
    return [sorted({*asked}), *(sorted(step) for step in steps if step)]


def _without_ids(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_ids(item) for key, item in value.items() if key != "id"}
        case list():
            return [_without_ids(item) for item in value]
        case _:
            return value


class Listener:
    """A broker that keeps all that runs tell, by run."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[str, bytes]]] = {}
        self._numbers: dict[str, int] = {}

    def publish(
        self, thread_id: str, run_id: str, event: str, data: bytes, *, number: int | None = None
    ) -> None:
        if number is not None and number <= self._numbers.get(run_id, 0):
            return
        self._numbers[run_id] = number or 0
        self.told.setdefault(run_id, []).append((event, data))

    def listen(self, thread_id: str, run_id: str | None = None, *, after: str | None = None) -> Any:
        raise NotImplementedError

    async def knows(self, thread_id: str, run_id: str | None = None, *, after: str | None = None) -> bool:
        return run_id in self.told

    async def forget(self, thread_id: str) -> None:
        raise NotImplementedError

    async def flush(self) -> None:
        pass


def _limit(case: Case) -> dict[str, Any]:
    return {} if case.limit is None else {"recursion_limit": case.limit}


def _answers(case: Case, stops: Mapping[str, Any]) -> dict[str, Any]:
    known = sorted(stops, key=lambda key: repr(stops[key]))
    return {key: case.answer(stops[key]) for key in (known[:1] if case.one_by_one else known)}


def _finish(outcome: Outcome, calls: list[str], history: list[Any], sources: list[Any]) -> Outcome:
    for state, source in zip(history, sources, strict=True):
        told = [*source, list(state.next), plain(state.values)]
        if not outcome.has_failed:
            told.append(
                [(task.name, plain(task.result), [i.value for i in task.interrupts]) for task in state.tasks]
            )
        outcome.history.append(_saved(told))
    outcome.length = len(calls)
    if not outcome.has_failed:
        outcome.calls = Counter(calls)
    return outcome


async def through_perdure(
    env: PerdureEnvironment, name: str, case: Case, calls: list[str], listener: Listener
) -> Outcome:
    """The outcome in an environment that has the case's graph (which notes its calls in `calls`) as `name`."""
    outcome = Outcome()
    told: list[tuple[str, bytes]] = []
    for value in case.inputs:
        run = await env.start(
            name,
            value,
            thread_id=name,
            config=_limit(case),
            context=case.context,
            keep_open=len(case.inputs) > 1,
            stream=["updates", "values"],
        )
        try:
            while items := await run.wait_for_approvals(poll=POLL):
                stops = {item.id: item.value for item in items}
                outcome.stops.append(sorted(map(repr, stops.values())))
                if len(outcome.stops) == MOST_STOPS:
                    break
                await run.resume(_answers(case, stops))
            else:
                outcome.ends.append(plain(await run.result()))
        except RunFailed as error:
            outcome.failed(error.cause_type)
        told += listener.told.get(run.run_id, ())
    if not outcome.has_failed:
        outcome.updates = by_step(told, case.build([]).nodes)
    history: list[Any] = []
    with suppress(RunFailed):  # as above
        history = [state async for state in run.history()]
    with suppress(RPCError):  # it ended by itself
        await run.handle.terminate()
    return _finish(outcome, calls, history, [(state.step, state.source) for state in history])


async def all_through_perdure(
    cases: Mapping[str, Case], *, carry_every: int = 0, **worker: Any
) -> dict[str, tuple[Outcome, str]]:
    """The cases' outcomes and the recorded histories (as JSON) of their workflows, all run in one environment."""
    calls: dict[str, list[str]] = {name: [] for name in cases}
    graphs = {name: case.build(calls[name]) for name, case in cases.items()}
    turns = asyncio.Semaphore(AT_ONCE)
    listener = Listener()

    async def one(env: PerdureEnvironment, name: str) -> tuple[Outcome, str]:
        async with turns:
            outcome = Outcome()
            try:
                async with asyncio.timeout(CASE_SECONDS):
                    outcome = await through_perdure(env, name, cases[name], calls[name], listener)
            except TimeoutError:
                outcome.failed("the case took too long")
            return outcome, (await env.client.get_workflow_handle(name).fetch_history()).to_json()

    async with (
        PerdureEnvironment.start(
            graphs,
            time_skipping=False,
            carry_every=carry_every,
            worker=False,
            broker=listener,
            # Calls are counted: none is made twice because the machine was slow.
            heartbeat=timedelta(minutes=1),
        ) as env,
        env.worker(**worker),
    ):
        found = await asyncio.gather(*(one(env, name) for name in cases))
    return dict(zip(cases, found, strict=True))
