"""The thread workflow: one per thread; drives a graph's runs to their end, through interrupts, failures and restarts.

Side: workflow. Not in Temporal's sandbox: users' modules would have to pass through it, so that of their code it would guard
next to nothing, and refuse what LangGraph takes (a router that imports as it runs); building it anew for each run is more than
half of what a short run costs. What keeps this package deterministic is its tests, which replay at every task.

| state       | meaning                                            | leaves it by                                       |
|-------------|----------------------------------------------------|----------------------------------------------------|
| running     | a run's graph is being driven                      | end, failure, interrupt, cancellation              |
| interrupted | every branch waits for an answer                   | `resume` update, deadline, cancellation            |
| idle        | a `keep_open` thread without a run                 | `start_run` update                                 |
| completed / failed / cancelled | a one-shot thread's end; on a `keep_open` thread the last run's end, then idle  | |

Invariants: whatever goes wrong in a graph *fails the run* with a typed error, so no workflow task is retried for ever;
an answer is accepted once, by an update whose validator refuses what does not wait; everything that must survive
continue-as-new is in one `CarryOver`.

Not guaranteed here: that the outside world sees an action once. A node runs at least once.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, NoReturn

from langgraph.errors import GraphDrained
from temporalio import workflow
from temporalio.common import RawValue

from perdure.contract import names
from perdure.contract.effect import OwedEffects
from perdure.contract.node import InputPage, InputRequest
from perdure.contract.run import CancelRequest, RunPage, RunsRequest
from perdure.contract.state import HistoryRequest, StateUpdate
from perdure.contract.task import TaskBatch, TaskNews, TaskPoll
from perdure.contract.thread import Answer, CarryOver, RunRequest, RunStatus, ThreadStart, ThreadState
from perdure.errors import PayloadTooLarge, PerdureError, StateUpdateRefused, ThreadBusy
from perdure.workflows.compensation import Compensation
from perdure.workflows.deadline import dated
from perdure.workflows.driver import RunDriver
from perdure.workflows.expiry import Expiry
from perdure.workflows.failure import as_failure
from perdure.workflows.interrupts import Interrupts
from perdure.workflows.listing import Listing
from perdure.workflows.sizes import sendable, told_state
from perdure.workflows.states import EXTERN_GRAPH, States
from perdure.workflows.turns import Turns

__all__ = ["EXTERN_GRAPH", "ThreadWorkflow"]

# What the SDK raises before our code runs, an input that doesn't decode say: it would hold the workflow task for ever.
_FAILING = (PerdureError, RuntimeError, TypeError, ValueError, LookupError, AttributeError)


@workflow.defn(name=names.THREAD_WORKFLOW, failure_exception_types=_FAILING, sandboxed=False)
class ThreadWorkflow:
    """Workflow id = thread id. A one-shot thread's result is its run's final state values."""

    @workflow.init
    def __init__(self, start: ThreadStart) -> None:
        carry = start.carry or CarryOver()
        self._start = start
        self._states = States(start)
        self._interrupts = Interrupts(carry.pending, carry.answers, asking=carry.asking)
        self._driver = RunDriver(
            start,
            self._states,
            self._interrupts,
            set_status=self._set_status,
            continue_as_new=self._continue_as_new,
        )
        # Temporal tells of a reset by a new seed; what comes after it may have happened before.
        workflow.register_random_seed_callback(lambda _: self._driver.calls.effects.doubt())
        self._compensation = Compensation(self._driver.calls, self._interrupts, set_status=self._set_status)
        self._listing = Listing(start)
        self._turns = Turns(
            carry,
            carry.run or start.run,
            states=self._states,
            driver=self._driver,
            interrupts=self._interrupts,
            compensation=self._compensation,
            listing=self._listing,
            expiry=Expiry(start, self._states.saver),
            set_status=self._set_status,
            continue_as_new=self._continue_as_new,
        )
        rest: RunStatus = "interrupted" if carry.asking else "idle"
        self._driver.before_carry = self._turns.webhooks.started
        self._status: RunStatus = "running" if start.run or carry.run else rest
        self._error: str | None = None

    @workflow.run
    async def run(self, start: ThreadStart) -> Any:
        self._turns.main = asyncio.current_task()
        try:
            self._bind()
        except Exception as error:
            raise as_failure(error) from error
        if start.carry and start.carry.compensate:
            return await self._compensation.run()
        resumed = start.carry.run if start.carry else None
        if not start.keep_open:
            request = resumed or start.run or RunRequest(id=workflow.info().run_id)
            with self._driver.trace.run(request, self._graph_of(request)):
                return await self._one_shot(request, resumed)
        if start.run is not None:
            self._turns.book.queued.insert(0, start.run)
        while True:
            request = resumed
            if request is None:
                # Not while it is idle: the run's result would be gone before anybody asked for it.
                request = await self._turns.next()
                if self._driver.should_carry():
                    # Whoever has just started a run would take "idle" for its end.
                    self._set_status("running")
                    await self._turns.webhooks.started()
                    self._continue_as_new(None)
                self._turns.book.unqueue(request.id)
            with self._driver.trace.run(request, self._graph_of(request)):
                await self._turns.turn(request, resume=resumed is not None)
            resumed = None
            if self._start.temporary and not self._turns.book.queued:
                await self._turns.webhooks.started()
                await workflow.wait_condition(workflow.all_handlers_finished)
                return self._turns.ends.result(request.id)

    def _bind(self) -> None:
        """The graph that the thread starts with, if that is known."""
        name = (self._start.carry.graph if self._start.carry else "") or self._start.graph
        if name and not self._states.name:
            self._states.bind(name)

    # -- handlers: validate and delegate ---------------------------------------------------------------------------

    @workflow.query(name=names.QUERY_STATE)
    def state(self) -> RawValue:
        return told_state(self._state())

    @workflow.query(name=names.QUERY_HISTORY)
    def history(self, request: HistoryRequest) -> RawValue:
        return sendable(self._states.history(request), "a checkpoint of the thread")

    @workflow.query(name=names.QUERY_RESTART)
    def restart(self, checkpoint_id: str | None, compensate: bool = False) -> RawValue:
        return sendable(self._restart(checkpoint_id, compensate), "what the thread would start again with")

    @workflow.query(name=names.QUERY_OWED)
    def owed(self) -> RawValue:
        return sendable(OwedEffects(self._driver.calls.effects.owed), "the effects of the run")

    @workflow.query(name=names.QUERY_HAPPENED)
    def happened(self, checkpoint_id: str) -> RawValue:
        told = OwedEffects(self._driver.calls.effects.happened_since(checkpoint_id))
        return sendable(told, "the effects of the thread")

    @workflow.query(name=names.QUERY_NODE_INPUT)
    def node_input(self, request: InputRequest) -> InputPage:
        return self._driver.calls.page(request)

    @workflow.signal(name=names.SIGNAL_TASKS)
    def call_tasks(self, batch: TaskBatch) -> None:
        self._driver.calls.tasks.ask(batch)

    @workflow.query(name=names.QUERY_TASKS)
    def task_outcomes(self, poll: TaskPoll) -> TaskNews:
        return self._driver.calls.tasks.news(poll)

    @workflow.query(name=names.QUERY_RUNS)
    def runs(self, request: RunsRequest) -> RunPage:
        return self._turns.book.page(request)

    @workflow.update(name=names.UPDATE_RESUME)
    def resume(self, answer: Answer) -> list[str]:
        answered = self._interrupts.accept(answer.value, answer.trace)
        self._turns.go_on()
        return answered

    @resume.validator
    def _check_resume(self, answer: Answer) -> None:
        self._interrupts.check(answer.value)

    @workflow.update(name=names.UPDATE_STATE)
    async def update_state(self, update: StateUpdate) -> str:
        return await self._update_state(update)

    @update_state.validator
    def _check_update_state(self, update: StateUpdate) -> None:
        self._check_at_rest()

    @workflow.update(name=names.UPDATE_START_RUN)
    def start_run(self, request: RunRequest) -> str:
        return self._turns.start(request)

    @start_run.validator
    def _check_start_run(self, request: RunRequest) -> None:
        if not self._start.keep_open:
            raise ThreadBusy(f"thread {workflow.info().workflow_id!r} ends with the run that it has")
        self._turns.check_start(request)

    @workflow.signal(name=names.SIGNAL_START_RUN)
    def start_run_if_possible(self, request: RunRequest) -> None:
        if self._start.keep_open:
            self._turns.start_if_possible(request)

    @workflow.update(name=names.UPDATE_CANCEL_RUN)
    def cancel_run(self, compensate: bool = True) -> bool:
        return self._turns.cancel_current(compensate=compensate)

    @workflow.update(name=names.UPDATE_CANCEL)
    def cancel(self, request: CancelRequest) -> bool:
        return self._turns.cancel(request)

    @cancel.validator
    def _check_cancel(self, request: CancelRequest) -> None:
        self._turns.check_known(request.run_id)

    @workflow.update(name=names.UPDATE_FORGET_RUN)
    def forget_run(self, run_id: str) -> None:
        self._turns.book.forget(run_id)

    @forget_run.validator
    def _check_forget_run(self, run_id: str) -> None:
        self._turns.forgettable(run_id)

    @workflow.update(name=names.UPDATE_PRUNE)
    def prune(self) -> None:
        self._states.saver.keep_latest()

    @prune.validator
    def _check_prune(self) -> None:
        self._check_at_rest()

    @workflow.update(name=names.UPDATE_METADATA)
    def update_metadata(self, changes: dict[str, Any]) -> None:
        self._listing.merge(changes)

    # Who waits while the thread continues as new asks again.
    @workflow.update(name=names.UPDATE_RUN_RESULT, unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def run_result(self, run_id: str) -> Any:
        await workflow.wait_condition(lambda: run_id in self._turns.ends)
        return self._turns.ends.result(run_id)

    @run_result.validator
    def _check_run_result(self, run_id: str) -> None:
        self._turns.check_known(run_id)

    # -- driving ----------------------------------------------------------------------------------------------------

    async def _one_shot(self, request: RunRequest, resumed: RunRequest | None) -> Any:
        self._turns.run = request = dated(request)
        try:
            result = await self._turns.drive(request, resume=resumed is not None)
        except asyncio.CancelledError:
            await self._compensation.run()
            self._set_status("cancelled")
            raise
        except GraphDrained:
            return self._continue_as_new(request)
        except Exception as error:
            compensated = await self._compensation.run()
            self._set_status("failed", error)
            raise as_failure(error, compensated) from error
        self._set_status("completed")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return result

    def place(self) -> dict[str, Any]:
        """For logs."""
        return self._driver.place()

    def _graph_of(self, request: RunRequest) -> str:
        return request.graph or self._states.name or self._start.graph

    # -- the state, set by hand --------------------------------------------------------------------------------------

    def _check_at_rest(self) -> None:
        if self._status == "running" or self._driver.writing:
            raise StateUpdateRefused(
                f"thread {workflow.info().workflow_id!r} is running: its state can be changed when it waits or is idle"
            )

    async def _update_state(self, update: StateUpdate) -> str:
        running = self._turns.run is not None
        asked = running or self._interrupts.asking or self._listing.metadata is not None
        try:
            self._bind()  # it may come with the first workflow task, before anything has run
            checkpoint_id = await self._driver.update_state(update, running=asked)
        except Exception as error:
            refused = StateUpdateRefused(f"{type(error).__name__}: {error}")
            raise as_failure(refused) from error
        if self._interrupts.asking:
            self._set_status("interrupted", always=True)
        elif not running:
            self._set_status("idle")
        return checkpoint_id

    def _restart(self, checkpoint_id: str | None, compensate: bool) -> ThreadStart:
        """What a closed thread's next workflow run starts with, to go on from its latest or an earlier checkpoint."""
        last = self._turns.run or (self._start.carry.run if self._start.carry else None) or self._start.run
        if last is not None and self._states.saver.step() >= -1:
            last = replace(last, input=None, checkpoint_id=checkpoint_id, expires_at=None)
        carry = CarryOver(
            checkpoints=self._states.saver.export(),
            nested=self._driver.calls.nested,
            calls=self._driver.calls.count,
            ticks=self._states.ids.ticks,
            compensate=compensate,
            effects=self._driver.calls.effects.entries,
            past_effects=self._driver.calls.effects.past,
            places=self._driver.calls.places.book(),
            model_answers=self._driver.calls.answers,
            budgets=self._driver.calls.budgets.book(run=False),
            graph=self._states.name,
            metadata=self._listing.metadata,
            root=self._driver.root,
        )
        return replace(self._start, run=last, carry=carry)

    # -- continue as new ----------------------------------------------------------------------------------------------

    def _continue_as_new(self, request: RunRequest | None) -> NoReturn:
        carry = self._carry_over(request)
        start = replace(self._start, run=None, carry=carry)
        try:
            payload = sendable(start, "what the thread takes along")
        except PayloadTooLarge:
            # To go on matters more than to look back.
            carry = replace(carry, checkpoints=self._states.saver.export(latest=True))
            snapshot = self._states.latest_or_none()
            values = snapshot.values if snapshot else None
            what = "what the thread takes along when it continues as new"
            payload = sendable(replace(start, carry=carry), what, parts=values)
        workflow.continue_as_new(payload)

    def _carry_over(self, request: RunRequest | None) -> CarryOver:
        return CarryOver(
            checkpoints=self._states.saver.export(),
            run=self._driver.trace.carried(request),
            pending=self._interrupts.pending,
            answers=self._interrupts.answers,
            asking=self._interrupts.asking,
            stops=self._driver.limits.stops,
            queued=self._turns.book.queued,
            ends=self._turns.ends.export(),
            nested=self._driver.calls.nested,
            calls=self._driver.calls.count,
            ticks=self._states.ids.ticks,
            effects=self._driver.calls.effects.entries,
            past_effects=self._driver.calls.effects.past,
            places=self._driver.calls.places.book(),
            model_answers=self._driver.calls.answers,
            budgets=self._driver.calls.budgets.book(),
            graph=self._states.name,
            metadata=self._listing.metadata,
            runs=self._turns.book.export(),
            published=self._driver.publisher.count,
            root=self._driver.root,
            last=self._turns.last,
        )

    # -- what others see ----------------------------------------------------------------------------------------------

    def _set_status(self, status: RunStatus, error: Exception | None = None, *, always: bool = False) -> None:
        changed = always or status != self._status
        self._status = status
        self._error = None if error is None else str(error)
        self._driver.trace.note(status, error)
        if not changed or status not in ("running", "interrupted", "idle"):
            return  # a closed workflow's end says it already
        # Besides telling whoever lists threads, this command sets the workflow task apart in which a run comes to rest.
        # Temporal's replay merges workflow tasks without commands into the next, and an update in that one would be
        # validated before the activity result that opened its interrupt is applied.
        told = "error" if error is not None and self._listing.metadata is not None else status
        self._listing.status(
            told, graph=self._states.name, waiting=self._interrupts.waiting, values=self._values
        )

    def _values(self) -> Any:
        snapshot = self._states.latest_or_none()
        return snapshot.values if snapshot else None

    def _state(self) -> ThreadState:
        snapshot = self._states.latest_or_none()
        return ThreadState(
            graph=self._states.name or self._start.graph,
            status=self._status,
            values=snapshot.values if snapshot else None,
            next=tuple(snapshot.next) if snapshot else (),
            interrupts=tuple(self._interrupts.waiting),
            run_id=self._turns.run.id if self._turns.run else None,
            step=int((snapshot.metadata or {}).get("step", 0)) if snapshot and snapshot.metadata else 0,
            error=self._error,
            keep_open=self._start.keep_open,
            usage=self._driver.calls.budgets.told(),
            metadata=self._listing.metadata,
        )
