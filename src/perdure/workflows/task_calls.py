"""Scheduling `@task` calls: one activity per call, its result kept until the node call that asked for it ends.

Side: workflow. An attempt of a node asks by signal, under keys that are the same in every attempt. A call that is under
way is joined, a finished one is answered from here, so neither is made again when the attempt is. A call that failed or
stopped at an interrupt is made again for another attempt, as LangGraph does it.

Outcomes go to the attempts of this process at once (an extern), to others when they ask (a query). Results stay encoded:
the workflow has no use for their values.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

from perdure.contract import names
from perdure.contract.budget import BudgetLeft
from perdure.contract.effect import EffectGrant
from perdure.contract.node import NodeInput
from perdure.contract.policy import DEFAULT_RETRY
from perdure.contract.task import (
    INTERRUPTED,
    TaskBatch,
    TaskCall,
    TaskInput,
    TaskNews,
    TaskOutcome,
    TaskPoll,
    TaskRequest,
    TaskRetry,
)
from perdure.contract.usage import USED, Usage, usage_from
from perdure.errors import NodeFailed, PayloadError
from perdure.graph.mirror import NodeProxy
from perdure.graph.task_input import task_input
from perdure.payloads import summary
from perdure.workflows.budgets import Budgets
from perdure.workflows.effects import Effects
from perdure.workflows.failure import failed_usage, node_failed
from perdure.workflows.tracing import OpenSpan, RunTrace

__all__ = ["EXTERN_TELL_TASK", "TaskCalls"]

EXTERN_TELL_TASK = "perdure.tell_task"

# Temporal takes 2,000 activities at a time per workflow, and holds the workflow task of one that wants more.
_MOST_AT_A_TIME = 1000
_PAGE_BYTES = 1_000_000
# LangGraph ends an attempt that takes too long by itself, with its own error; this is for one that cannot.
_TIMEOUT_SLACK = timedelta(seconds=10)


@dataclass
class _Owner:
    """A node call under way."""

    graph: str
    proxy: NodeProxy
    step: int
    place: str
    build: Callable[[], NodeInput]
    trace: str


@dataclass
class _Call:
    request: TaskRequest
    owner: _Owner
    askers: list[str]
    handle: workflow.ActivityHandle[RawValue] | None = None
    outcome: TaskOutcome | None = None
    kept: bool = False
    grant: EffectGrant | None = None
    span: OpenSpan | None = None

    def is_same(self, request: TaskRequest) -> bool:
        mine, other = self.request.effect, request.effect
        return self.request.task == request.task and (mine and mine.digest) == (other and other.digest)

    def is_for(self, asker: str) -> bool:
        """Whether the outcome, or what it is going to be, may be told to that attempt."""
        return self.kept or self.outcome is None or asker in self.askers


class TaskCalls:
    """For one workflow run. `put` and `drop` hand task inputs to the activities of this process, as for nodes."""

    def __init__(
        self,
        effects: Effects,
        budgets: Budgets,
        trace: RunTrace,
        *,
        put: Callable[[str, Callable[[], NodeInput]], None],
        drop: Callable[[str], None],
    ) -> None:
        self._effects = effects
        self._budgets = budgets
        self._trace = trace
        self._effects_running = 0
        self._put = put
        self._drop = drop
        self._owners: dict[str, _Owner] = {}
        self._calls: dict[str, _Call] = {}
        self._waiting: deque[_Call] = deque()
        self._running = 0

    def open(
        self,
        call: str,
        graph: str,
        proxy: NodeProxy,
        step: int,
        place: str,
        build: Callable[[], NodeInput],
        *,
        trace: str,
    ) -> None:
        """From now on the attempts of that node call may ask. `place` is the same when the call is made again; `trace` is the
        `traceparent` of its span."""
        self._owners[call] = _Owner(graph, proxy, step, place, build, trace)

    def close(self, call: str) -> None:
        """Forget what the node call asked for, and cancel what still runs."""
        self._owners.pop(call, None)
        for key in [key for key in self._calls if key.partition(".")[0] == call]:
            self._forget(key)

    def ask(self, batch: TaskBatch) -> None:
        """Start what is not under way yet. An attempt that is out of date is not answered."""
        for request in batch.requests:
            owner = self._owners.get(request.key.partition(".")[0])
            if owner is None:
                continue
            known = self._calls.get(request.key)
            if known is not None and known.is_same(request) and known.is_for(batch.asker):
                if batch.asker not in known.askers:
                    known.askers.append(batch.asker)
                self._tell(known, [batch.asker])
                continue
            self._forget(request.key)
            call = self._calls[request.key] = _Call(request, owner, [batch.asker])
            if request.effect is not None:
                call.grant, call.outcome = _admit(self._effects, owner, request)
            if call.outcome is None:
                self._put(request.key, partial(_task_input, owner, request))
                self._waiting.append(call)
            self._tell(call, [batch.asker])
        self._start_waiting()

    async def effects_over(self) -> None:
        """Wait until no effect is under way: what is cancelled may still be happening."""
        await workflow.wait_condition(lambda: self._effects_running == 0)

    def news(self, poll: TaskPoll) -> TaskNews:
        """What there is for an attempt of what it waits for, as much as fits into one answer."""
        outcomes: list[TaskOutcome] = []
        unknown: list[str] = []
        size = 0
        for key in poll.keys:
            call = self._calls.get(key)
            if call is None or poll.asker not in call.askers:
                unknown.append(key)
            elif call.outcome is not None and (not outcomes or size + len(call.outcome.data) <= _PAGE_BYTES):
                outcomes.append(call.outcome)
                size += len(call.outcome.data)
        return TaskNews(outcomes, unknown)

    def input(self, key: str) -> Callable[[], NodeInput] | None:
        """The input of a task call that is under way."""
        call = self._calls.get(key)
        return None if call is None else partial(_task_input, call.owner, call.request)

    def _forget(self, key: str) -> None:
        call = self._calls.pop(key, None)
        if call is None:
            return
        self._drop(key)
        if call.handle is not None and call.outcome is None:
            call.handle.cancel()

    def _start_waiting(self) -> None:
        while self._waiting and self._running < _MOST_AT_A_TIME:
            call = self._waiting.popleft()
            if self._calls.get(call.request.key) is not call:
                continue  # forgotten before its turn came
            self._running += 1
            self._effects_running += call.grant is not None
            call.span = span = self._span(call)
            call.handle = _start(call.owner, call.request, call.grant, self._budgets.left(), span.context)
            call.handle.add_done_callback(partial(self._ended, call))

    def _span(self, call: _Call) -> OpenSpan:
        owner, grant = call.owner, call.grant
        path = "/".join([*owner.proxy.path, call.request.name])
        if not owner.trace:
            kind = "task" if grant is None else "effect"
            return self._trace.open(f"{kind} {path}")
        if grant is None:
            return self._trace.open(f"task {path}", under=owner.trace)
        return self._trace.open(f"effect {path}", under=owner.trace, key=grant.key, in_doubt=grant.in_doubt)

    def _ended(self, call: _Call, handle: Any) -> None:
        self._running -= 1
        if call.span is not None and (handle.cancelled() or not _evicted(handle.exception())):
            call.span.end(_error(call, handle))
        self._budgets.spent(_used(handle))
        if call.grant is not None:
            self._effects_running -= 1
            _settle_effect(self._effects, call.grant.key, handle)
        if not handle.cancelled() and self._calls.get(call.request.key) is call:
            self._settle(call, handle)
        self._start_waiting()

    def _settle(self, call: _Call, handle: workflow.ActivityHandle[RawValue]) -> None:
        error = handle.exception()
        if error is None:
            payload = handle.result().payload
            call.kept = INTERRUPTED not in payload.metadata
            call.outcome = TaskOutcome(call.request.key, False, payload.data.decode())
        elif isinstance(error, ActivityError):
            payload = _failure(call.owner, call.request, error)
            call.outcome = TaskOutcome(call.request.key, True, payload.data.decode())
        else:
            return  # the workflow is being evicted
        self._drop(call.request.key)
        self._tell(call, call.askers)

    def _tell(self, call: _Call, askers: list[str]) -> None:
        tell = workflow.extern_functions()[EXTERN_TELL_TASK]
        for asker in askers:
            tell(asker, call.outcome)


def _evicted(error: BaseException | None) -> bool:
    return error is not None and not isinstance(error, ActivityError)


def _error(call: _Call, handle: Any) -> BaseException | None:
    if handle.cancelled() or is_cancelled_exception(handle.exception() or Exception()):
        return asyncio.CancelledError()
    error = handle.exception()
    policy = call.owner.proxy.policy
    timeout = policy.task_timeout
    path = call.request.name
    return error and node_failed(path, error, timeout=timeout, heartbeat=policy.heartbeat)


def _used(handle: workflow.ActivityHandle[RawValue]) -> Usage:
    if handle.cancelled():
        return Usage()
    if isinstance(error := handle.exception(), ActivityError):
        return failed_usage(error)
    used = None if error is not None else handle.result().payload.metadata.get(USED)
    return usage_from(json.loads(used)) if used else Usage()


def _admit(
    effects: Effects, owner: _Owner, request: TaskRequest
) -> tuple[EffectGrant | None, TaskOutcome | None]:
    """Register an effect: the leave to make it, or the outcome that is known already."""
    assert request.effect is not None
    admission = effects.admit(
        request.effect,
        place=owner.place,
        effect=request.task,
        name=request.name,
        node="/".join(owner.proxy.path),
        step=owner.step,
        args=request.input.args,
        kwargs=request.input.kwargs,
    )
    if admission.ask:
        return None, TaskOutcome(request.key, False, "{}", in_doubt=True)
    if admission.result is not None:
        return None, TaskOutcome(request.key, False, admission.result, asked=admission.asked)
    if (refusal := admission.refusal) is None:
        return EffectGrant(admission.key, admission.in_doubt), None
    fields = {
        "node": "/".join(owner.proxy.path),
        "cause_type": type(refusal).__name__,
        "cause": str(refusal),
        "attempts": 0,
        "original": refusal,
    }
    data = workflow.payload_converter().to_payload(fields).data.decode()
    return None, TaskOutcome(request.key, True, data)


def _settle_effect(effects: Effects, key: str, handle: Any) -> None:
    if handle.cancelled():
        return  # it may have happened
    if handle.exception() is None:
        effects.settle(key, "done", handle.result().payload.data.decode())
    elif isinstance(handle.exception(), ActivityError) and not is_cancelled_exception(handle.exception()):
        effects.settle(key, "failed")


def _start(
    owner: _Owner, request: TaskRequest, grant: EffectGrant | None, left: BudgetLeft | None, trace: str
) -> workflow.ActivityHandle[RawValue]:
    policy = owner.proxy.policy
    path = [*owner.proxy.path, request.name]
    timeout = policy.task_timeout
    if request.timeout is not None:
        timeout = timedelta(seconds=request.timeout) + _TIMEOUT_SLACK
    return workflow.start_activity(
        names.RUN_TASK if grant is None else names.RUN_EFFECT,
        TaskCall(
            graph=owner.graph,
            path=path,
            step=owner.step,
            call=request.key,
            new={} if request.small else _preview(request.input),
            task=request.task,
            effect=grant,
            input=request.input if request.small else None,
            left=left,
            trace=trace,
        ),
        activity_id=f"{request.name}:{request.key}",
        result_type=RawValue,
        task_queue=policy.task_queue,
        start_to_close_timeout=timeout,
        heartbeat_timeout=policy.heartbeat,
        # An effect that was asked to stop may still be happening: its undo must come after its end.
        cancellation_type=(
            workflow.ActivityCancellationType.TRY_CANCEL
            if grant is None
            else workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        ),
        retry_policy=DEFAULT_RETRY if request.retry is None else _policy(request.retry),
        summary=f"{'/'.join(path)}, step {owner.step}",
    )


def _preview(given: TaskInput) -> dict[str, str]:
    arguments = {str(place): value for place, value in enumerate(given.args)} | given.kwargs
    return {name: summary(value) for name, value in arguments.items()}


def _policy(retry: TaskRetry) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=timedelta(seconds=retry.first),
        backoff_coefficient=retry.factor,
        maximum_interval=timedelta(seconds=retry.most),
        maximum_attempts=retry.attempts,
    )


def _task_input(owner: _Owner, request: TaskRequest) -> NodeInput:
    return task_input(owner.build(), request.name, request.input)


def _failure(owner: _Owner, request: TaskRequest, error: ActivityError) -> Payload:
    path = "/".join([*owner.proxy.path, request.name])
    if is_cancelled_exception(error):
        failed = NodeFailed(node=path, cause_type="CancelledError", cause="it was cancelled", attempts=0)
    else:
        failed = node_failed(
            path, error, timeout=owner.proxy.policy.task_timeout, heartbeat=owner.proxy.policy.heartbeat
        )
    fields = {
        name: getattr(failed, name)
        for name in ("node", "cause_type", "cause", "attempts", "original", "kind", "output")
    }
    converter = workflow.payload_converter()
    try:
        return converter.to_payload(fields)
    except PayloadError:
        return converter.to_payload({**fields, "original": None})
