"""The thread workflow: one per thread; drives a graph's runs to their end, through interrupts, failures and restarts.

Side: workflow, in the sandbox.

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
from datetime import timedelta
from typing import Any, NoReturn

from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.runtime import RunControl
from langgraph.types import Command
from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import FailureError

from perdure._compat import CONFIG_KEY_THREAD_ID, DEFAULT_RECURSION_LIMIT, Pregel
from perdure.contract import names
from perdure.contract.node import InputPage, InputRequest
from perdure.contract.thread import Answer, CarryOver, RunRequest, RunStatus, ThreadStart, ThreadState
from perdure.errors import PerdureError, RunCancelled, ThreadNotFound
from perdure.graph.inline import graph_scope
from perdure.graph.mirror import CALLER_KEY
from perdure.graph.saver import LatestSaver
from perdure.workflows.failure import as_failure
from perdure.workflows.interrupts import Interrupts
from perdure.workflows.node_calls import NodeCalls

__all__ = ["EXTERN_GRAPH", "ThreadWorkflow"]

EXTERN_GRAPH = "perdure.graph"

_KEPT_ENDS = 20

_GRAPH_KEY = SearchAttributeKey.for_keyword(names.SEARCH_GRAPH)
_STATUS_KEY = SearchAttributeKey.for_keyword(names.SEARCH_STATUS)
_PENDING_KEY = SearchAttributeKey.for_int(names.SEARCH_PENDING)


# What the SDK raises before our code runs, an input that doesn't decode say: it would hold the workflow task for ever.
_FAILING = (PerdureError, RuntimeError, TypeError, ValueError, LookupError, AttributeError)


@workflow.defn(name=names.THREAD_WORKFLOW, failure_exception_types=_FAILING)
class ThreadWorkflow:
    """Workflow id = thread id. A one-shot thread's result is its run's final state values."""

    @workflow.init
    def __init__(self, start: ThreadStart) -> None:
        carry = start.carry or CarryOver()
        self._start = start
        self._saver = LatestSaver(carry.checkpoints)
        self._calls = NodeCalls(start.graph, carry, on_result=self._after_call)
        self._first_call = carry.calls
        self._interrupts = Interrupts(carry.pending, carry.answers, asking=carry.asking)
        self._queued: list[RunRequest] = list(carry.queued)
        self._run: RunRequest | None = None
        self._driver: asyncio.Task[Any] | None = None
        self._control: RunControl | None = None
        self._cancel_asked = False
        # By run id: the result, or the failure that it ended in.
        self._ends: dict[str, Any] = {}
        self._status: RunStatus = "running" if start.run or carry.run else "idle"
        self._error: str | None = None
        self._stop_at_step = carry.stop_at_step
        self._graph: Pregel[Any, Any, Any, Any] | None = None

    @workflow.run
    async def run(self, start: ThreadStart) -> Any:
        try:
            self._graph = self._load_graph()
        except Exception as error:
            raise as_failure(error) from error
        resumed = start.carry.run if start.carry else None
        if not start.keep_open:
            return await self._one_shot(
                resumed or start.run or RunRequest(id=workflow.info().run_id), resumed
            )
        if start.run is not None:
            self._queued.insert(0, start.run)
        while True:
            request = resumed
            if request is None:
                await workflow.wait_condition(lambda: bool(self._queued) or self._should_carry())
                if not self._queued:
                    self._continue_as_new(None)
                request = self._queued.pop(0)
            await self._turn(request, resume=resumed is not None)
            resumed = None

    # -- handlers: validate and delegate ---------------------------------------------------------------------------

    @workflow.query(name=names.QUERY_STATE)
    def state(self) -> ThreadState:
        return self._state()

    @workflow.query(name=names.QUERY_NODE_INPUT)
    def node_input(self, request: InputRequest) -> InputPage:
        return self._calls.page(request)

    @workflow.update(name=names.UPDATE_RESUME)
    def resume(self, answer: Answer) -> list[str]:
        return self._interrupts.accept(answer.value)

    @resume.validator
    def _check_resume(self, answer: Answer) -> None:
        self._interrupts.check(answer.value)

    @workflow.update(name=names.UPDATE_START_RUN)
    def start_run(self, request: RunRequest) -> str:
        self._queued.append(request)
        return request.id

    @workflow.update(name=names.UPDATE_CANCEL_RUN)
    def cancel_run(self) -> bool:
        self._cancel_asked = self._driver is not None and self._driver.cancel()
        return self._cancel_asked

    @workflow.update(name=names.UPDATE_RUN_RESULT)
    async def run_result(self, run_id: str) -> Any:
        await workflow.wait_condition(lambda: run_id in self._ends)
        if isinstance(end := self._ends[run_id], FailureError):
            raise end
        return end

    @run_result.validator
    def _check_run_result(self, run_id: str) -> None:
        known = {request.id for request in self._queued} | set(self._ends)
        if run_id not in known and (self._run is None or self._run.id != run_id):
            raise ThreadNotFound(f"thread {workflow.info().workflow_id!r} knows no run {run_id!r} (any more)")

    # -- driving ----------------------------------------------------------------------------------------------------

    def _load_graph(self) -> Pregel[Any, Any, Any, Any]:
        mirrored = workflow.extern_functions()[EXTERN_GRAPH](self._start.graph)
        return mirrored.copy({"checkpointer": self._saver})

    async def _one_shot(self, request: RunRequest, resumed: RunRequest | None) -> Any:
        try:
            result = await self._drive(request, resume=resumed is not None)
        except asyncio.CancelledError:
            self._set_status("cancelled")
            raise
        except GraphDrained:
            return self._continue_as_new(request)
        except Exception as error:
            self._set_status("failed", error)
            raise as_failure(error) from error
        self._set_status("completed")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return result

    async def _turn(self, request: RunRequest, *, resume: bool) -> None:
        """One run of a thread that stays open. Its end, however it ends, is kept for who asks for the result."""
        self._driver = asyncio.create_task(self._drive(request, resume=resume))
        try:
            self._keep_end(request, await self._driver)
            self._set_status("idle")
        except asyncio.CancelledError:
            if not self._cancel_asked:
                raise  # the thread itself is being cancelled
            self._keep_end(request, as_failure(RunCancelled(f"run {request.id!r} was cancelled")))
            self._interrupts.clear()
            self._set_status("idle")
        except GraphDrained:
            self._continue_as_new(request)
        except Exception as error:  # noqa: BLE001 - the run's failure is its result; the thread lives on
            self._keep_end(request, as_failure(error))
            self._set_status("idle", error)
        finally:
            self._driver = None
            self._run = None
            self._cancel_asked = False

    def _keep_end(self, request: RunRequest, end: Any) -> None:
        self._ends[request.id] = end
        while len(self._ends) > _KEPT_ENDS:
            del self._ends[next(iter(self._ends))]

    async def _drive(self, request: RunRequest, *, resume: bool) -> Any:
        """Run the graph until it ends, answering its interrupts as decisions and deadlines come in."""
        self._run = request
        step_input: Any = None if resume else request.input
        resume = resume and not self._interrupts.asking
        while True:
            if not self._interrupts.asking:
                self._set_status("running")
                result = await self._step(request, step_input, resume=resume)
                resume = False
                self._interrupts.open(self._snapshot(), workflow.time())
                if not self._interrupts.asking:
                    return result
            self._set_status("interrupted")
            answers = await self._answers(request)
            step_input = None if answers is None else Command(resume=answers)

    async def _step(self, request: RunRequest, step_input: Any, *, resume: bool) -> Any:
        self._control = RunControl()
        config = self._config(request)
        config["recursion_limit"] = self._limit(request, resume=resume)
        assert self._graph is not None
        with graph_scope():
            return await self._graph.ainvoke(
                step_input,
                config,
                context=request.context,
                durability="sync",
                control=self._control,
            )

    async def _answers(self, request: RunRequest) -> dict[str, Any] | None:
        while not self._interrupts.answers:
            if self._should_carry():
                self._continue_as_new(request)
            deadline = self._interrupts.next_deadline()
            timeout = None if deadline is None else timedelta(seconds=max(0.0, deadline - workflow.time()))
            try:
                await workflow.wait_condition(
                    lambda: bool(self._interrupts.answers) or self._should_carry(),
                    timeout=timeout,
                    timeout_summary="deadline of the waiting interrupts",
                )
            except TimeoutError:
                self._interrupts.expire(workflow.time())
        return self._interrupts.take()

    def _limit(self, request: RunRequest, *, resume: bool) -> int:
        """The recursion limit; what is left of it when a Pregel run goes on after continuing as new."""
        assert self._graph is not None
        own = (self._graph.config or {}).get("recursion_limit", DEFAULT_RECURSION_LIMIT)
        limit = int(request.config.get("recursion_limit", own))
        if resume and self._stop_at_step is not None:
            # As PregelLoop counts: it starts at the saved step + 1, and stops at its start + limit + 1.
            left = self._stop_at_step - self._saver.step - 2
            if left < 1:
                raise GraphRecursionError(
                    f"Recursion limit of {limit} reached without hitting a stop condition."
                )
            return left
        self._stop_at_step = self._saver.step + 2 + limit
        return limit

    def _config(self, request: RunRequest) -> Any:
        config = dict(request.config)
        configurable = {k: v for k, v in config.get("configurable", {}).items() if k != "checkpoint_id"}
        config["configurable"] = {
            **configurable,
            CONFIG_KEY_THREAD_ID: workflow.info().workflow_id,
            CALLER_KEY: self._calls,
        }
        return config

    def _snapshot(self) -> Any:
        assert self._graph is not None
        return self._graph.get_state({"configurable": {CONFIG_KEY_THREAD_ID: workflow.info().workflow_id}})

    # -- continue as new ----------------------------------------------------------------------------------------------

    def _should_carry(self) -> bool:
        done = self._calls.count - self._first_call
        limit = self._start.carry_every
        return (limit > 0 and done >= limit) or workflow.info().is_continue_as_new_suggested()

    def _after_call(self) -> None:
        # Asked for before a step has run, a drain would make no progress at all.
        if self._control is not None and self._should_carry():
            self._control.request_drain("continue as new")

    def _continue_as_new(self, request: RunRequest | None) -> NoReturn:
        workflow.continue_as_new(replace(self._start, run=None, carry=self._carry_over(request)))

    def _carry_over(self, request: RunRequest | None) -> CarryOver:
        return CarryOver(
            checkpoints=self._saver.export(),
            run=request,
            pending=self._interrupts.pending,
            answers=self._interrupts.answers,
            asking=self._interrupts.asking,
            stop_at_step=self._stop_at_step,
            queued=self._queued,
            nested=self._calls.nested,
            calls=self._calls.count,
        )

    # -- what others see ----------------------------------------------------------------------------------------------

    def _set_status(self, status: RunStatus, error: Exception | None = None) -> None:
        changed = status != self._status
        self._status = status
        self._error = None if error is None else str(error)
        if not changed or status not in ("running", "interrupted", "idle"):
            return  # a closed workflow's end says it already
        # Besides telling whoever lists threads, this command sets the workflow task apart in which a run comes to rest.
        # Temporal's replay merges workflow tasks without commands into the next, and an update in that one would be
        # validated before the activity result that opened its interrupt is applied.
        pending = len(self._interrupts.waiting)
        if self._start.search:
            graph = _GRAPH_KEY.value_set(self._start.graph)
            workflow.upsert_search_attributes(
                [graph, _STATUS_KEY.value_set(status), _PENDING_KEY.value_set(pending)]
            )
        else:
            workflow.upsert_memo({"status": status, "pending": pending})

    def _state(self) -> ThreadState:
        try:
            snapshot = self._snapshot() if self._graph is not None else None
        except Exception:  # noqa: BLE001 - writes that failed the run fail here again; the rest can still be told
            snapshot = None
        return ThreadState(
            graph=self._start.graph,
            status=self._status,
            values=snapshot.values if snapshot else None,
            next=tuple(snapshot.next) if snapshot else (),
            interrupts=tuple(self._interrupts.waiting),
            run_id=self._run.id if self._run else None,
            step=int((snapshot.metadata or {}).get("step", 0)) if snapshot and snapshot.metadata else 0,
            error=self._error,
            keep_open=self._start.keep_open,
        )
