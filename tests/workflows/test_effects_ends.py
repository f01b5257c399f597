"""What is undone, when and at whose wish: the point of no return, forks, resets, cancelling, threads that were stopped."""

from __future__ import annotations

import asyncio
import operator
import warnings
from datetime import timedelta
from typing import Annotated, Any

import pytest
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from typing_extensions import TypedDict

from perdure import commit_effects, current_effect, effect
from perdure.client.forks import EffectsHappened
from perdure.client.reconciler import Reconciler
from perdure.errors import RunCancelled, RunFailed
from perdure.testing import PerdureEnvironment

QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_attempts=2)


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


class World:
    """What was done outside, in order; what was in doubt; what was undone."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.doubts: list[bool] = []
        self.undone: list[str] = []

    def effect(self, **options: Any) -> Any:
        @effect(undo=self.undo, retry=QUICK, undo_retry=QUICK, **options)
        async def act(name: str) -> str:
            told = current_effect()
            self.done.append((name, told.key))
            self.doubts.append(told.in_doubt)
            return name

        return act

    async def undo(self, name: str) -> None:
        self.undone.append(name)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.done]


@pytest.fixture
def world() -> World:
    return World()


def does(act: Any, name: str, *, commit: bool = False) -> Any:
    async def node(state: State) -> dict[str, Any]:
        done = await act(name)
        if commit:
            commit_effects()
        return {"log": [done]}

    node.__name__ = name
    return node


def fails(state: State) -> dict[str, Any]:
    raise ValueError("no")


def asks(state: State) -> dict[str, Any]:
    return {"log": [interrupt("sure?")]}


def graph_of(*nodes: Any) -> Any:
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    previous = START
    for node in nodes:
        builder.add_node(node.__name__, node)
        builder.add_edge(previous, node.__name__)
        previous = node.__name__
    return builder.compile()


async def test_what_was_done_before_the_point_of_no_return_stays(world: World) -> None:
    act = world.effect()
    graph = graph_of(does(act, "a"), does(act, "b", commit=True), does(act, "c"), fails)
    async with PerdureEnvironment.start({"g": graph}, carry_every=1) as env:
        with pytest.raises(RunFailed) as caught:
            await (await env.start("g", {"log": []})).result()
    assert world.undone == ["c"]
    assert caught.value.details["undone"] == ["act"]


async def test_a_node_that_fails_after_its_point_of_no_return_has_not_reached_it(world: World) -> None:
    act = world.effect()

    async def last(state: State) -> dict[str, Any]:
        await act("b")
        commit_effects()
        raise ValueError("no")

    async with PerdureEnvironment.start({"g": graph_of(does(act, "a"), last)}) as env:
        with pytest.raises(RunFailed):
            await (await env.start("g", {"log": []})).result()
    assert world.undone == ["b", "a"]


@task
async def _decide() -> None:
    commit_effects()


async def test_a_task_has_no_point_of_no_return() -> None:
    @entrypoint()
    async def flow(_: Any) -> None:
        await _decide()

    async with PerdureEnvironment.start({"g": flow}) as env:
        with pytest.raises(RunFailed, match="in the node or entrypoint"):
            await (await env.start("g", "go")).result()


def test_outside_of_perdure_there_is_nothing_to_commit() -> None:
    commit_effects()


async def test_undos_that_may_run_at_the_same_time_do() -> None:
    undoing: list[str] = []
    order: list[str] = []
    both = asyncio.Event()

    async def undo(name: str) -> None:
        undoing.append(name)
        if len(undoing) == 2:
            both.set()
        await both.wait()
        order.append(name)

    async def undo_alone(name: str) -> None:
        order.append(name)

    together = effect(undo=undo, undo_parallel=True)(_said)
    alone = effect(undo=undo_alone, name="alone")(_said)
    graph = graph_of(does(alone, "first"), does(together, "a"), does(together, "b"), fails)
    async with PerdureEnvironment.start({"g": graph}) as env:
        with pytest.raises(RunFailed):
            await (await env.start("g", {"log": []})).result()
    assert sorted(order[:2]) == ["a", "b"]
    assert order[2:] == ["first"]


async def _said(name: str) -> str:
    return name


async def test_a_run_that_starts_before_an_effect_warns_of_it(world: World) -> None:
    act = world.effect()
    graph = graph_of(does(act, "a"), does(act, "b"))
    async with PerdureEnvironment.start({"g": graph}, carry_every=1, time_skipping=False) as env:
        run = await env.start("g", {"log": []}, thread_id="t", keep_open=True)
        await run.result()
        checkpoints = [snapshot async for snapshot in env.perdure.history("t")]
        [before_b] = [snapshot.checkpoint_id for snapshot in checkpoints if snapshot.next == ["b"]]
        [end] = [snapshot.checkpoint_id for snapshot in checkpoints if snapshot.next == []]
        with pytest.warns(EffectsHappened, match="act") as caught:
            again = await env.start("g", None, thread_id="t", keep_open=True, checkpoint_id=before_b)
        assert caught[0].filename == __file__
        [warning] = [entry.message for entry in caught]
        assert isinstance(warning, EffectsHappened)
        assert [entry.key for entry in warning.effects] == [world.done[1][1]]
        await again.result()
        assert await env.perdure.happened_since("t", end) != []
    assert world.names == ["a", "b", "b"]
    assert len({key for _, key in world.done}) == 3


async def test_a_run_that_starts_after_all_effects_warns_of_nothing(world: World) -> None:
    graph = graph_of(does(world.effect(), "a"), asks)
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"log": []}, thread_id="t", keep_open=True)
        [pending] = await run.wait_for_approvals()
        await run.resume({pending.id: "yes"})
        await run.result()
        [at_ask] = [s.checkpoint_id async for s in env.perdure.history("t") if s.next == ["asks"]]
        with warnings.catch_warnings():
            warnings.simplefilter("error", EffectsHappened)
            again = await env.start("g", None, thread_id="t", keep_open=True, checkpoint_id=at_ask)
        [pending] = await again.wait_for_approvals()
        await again.resume({pending.id: "yes"})
        await again.result()
    assert world.names == ["a"]


@pytest.mark.parametrize("keep_open", [False, True])
async def test_a_run_may_be_cancelled_without_undoing(world: World, keep_open: bool) -> None:
    graph = graph_of(does(world.effect(), "a"), asks)
    async with PerdureEnvironment.start({"g": graph}, time_skipping=False) as env:
        run = await env.start("g", {"log": []}, thread_id="t", keep_open=keep_open)
        await run.wait_for_approvals()
        await env.perdure.cancel("t", compensate=False)
        with pytest.raises(RunCancelled):
            await run.result()
        assert world.undone == []
        if keep_open:
            # The next run's end is its own.
            other = await env.start("g", {"log": []}, thread_id="t", keep_open=True)
            await other.wait_for_approvals()
            await other.cancel()
            with pytest.raises(RunCancelled):
                await other.result()
        else:
            await (await env.perdure.compensate("t")).result()
    assert world.undone == ["a"]


async def test_after_a_reset_what_is_made_again_is_in_doubt_under_its_key(world: World) -> None:
    graph = graph_of(does(world.effect(), "a"), asks)
    async with PerdureEnvironment.start({"g": graph}, time_skipping=False) as env:
        run = await env.start("g", {"log": []}, thread_id="t")
        await run.wait_for_approvals()
        history = await run.handle.fetch_history()
        first_task = next(
            event.event_id
            for event in history.events
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        )
        await env.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=env.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id="t", run_id=history.run_id),
                reason="to see what happens",
                workflow_task_finish_event_id=first_task,
                request_id="reset",
            )
        )
        again = await env.perdure.handle("t")
        [pending] = await again.wait_for_approvals()
        await again.resume({pending.id: "yes"})
        assert (await again.result())["log"] == ["a", "yes"]
    assert len({key for _, key in world.done}) == 1
    assert world.doubts == [False, True]


@pytest.mark.parametrize("compensate", [False, True])
async def test_a_worker_looks_for_threads_that_were_stopped(
    world: World, compensate: bool, caplog: pytest.LogCaptureFixture
) -> None:
    graph = graph_of(does(world.effect(), "a"), asks)
    async with PerdureEnvironment.start({"g": graph}, time_skipping=False) as env:
        run = await env.start("g", {"log": []}, thread_id="t")
        await run.wait_for_approvals()
        await run.handle.terminate("by hand")
        looking = Reconciler(env.perdure, compensate=compensate)
        found: list[str] = []
        while not found:
            found = await looking.look()
        assert found == ["t"]
        assert await looking.look() == []
        if compensate:
            await env.client.get_workflow_handle("t").result()
    assert world.undone == (["a"] if compensate else [])
    assert "t was stopped" in caplog.text


_keys: list[tuple[str, bool]] = []


@effect
async def _act(name: str) -> None:
    _keys.append((current_effect().key, current_effect().in_doubt))
    if len(_keys) == 1:
        raise ConnectionError("lost")


@activity.defn
async def _activity(name: str) -> None:
    await _act(name)


@workflow.defn(sandboxed=False)
class _Own:
    @workflow.run
    async def run(self) -> None:
        for name in ("a", "b"):
            await workflow.execute_activity(
                _activity, name, start_to_close_timeout=timedelta(seconds=30), retry_policy=QUICK
            )


async def test_in_an_activity_of_ones_own_each_attempt_has_the_same_key() -> None:
    _keys.clear()
    async with (
        PerdureEnvironment.start({}, worker=False) as env,
        Worker(
            env.client,
            task_queue="own",
            workflows=[_Own],
            activities=[_activity],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        await env.client.execute_workflow(_Own.run, id="own", task_queue="own")
    assert [in_doubt for _, in_doubt in _keys] == [False, True, False]
    assert _keys[0][0] == _keys[1][0] != _keys[2][0]
