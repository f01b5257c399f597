"""`PerdureClient`: runs of graphs, by thread id.

Side: client. Stateless: everything it tells comes from Temporal.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from opentelemetry.trace import TracerProvider
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import Priority, RawValue, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from perdure.client.again import sent
from perdure.client.attributes import search_attributes
from perdure.client.forks import happened_since, warn_of_effects
from perdure.client.handle import RunHandle, graph_of, query, query_state, thread_not_found, thread_status
from perdure.client.limits import limited
from perdure.contract import names
from perdure.contract.budget import Budget
from perdure.contract.effect import EffectEntry, OwedEffects
from perdure.contract.limits import RunLimits
from perdure.contract.policy import TASK_TIMEOUT
from perdure.contract.state import ThreadSnapshot
from perdure.contract.thread import DEFAULT_CARRY, DEFAULT_KEEP, RunRequest, ThreadStart, ThreadState
from perdure.errors import ThreadBusy
from perdure.storage.external import sendable
from perdure.telemetry.propagation import starting

__all__ = ["PerdureClient", "ThreadBusy", "ThreadInfo"]


@dataclass(frozen=True)
class ThreadInfo:
    """One line of a thread list. `status` is finer where the namespace has Perdure's search attributes."""

    thread_id: str
    graph: str
    status: str
    pending: int
    started_at: datetime
    closed_at: datetime | None


class PerdureClient:
    """Made by `perdure.connect()`. `temporal` is Temporal's own client; `limits` are those of runs that name none;
    `tracer_provider` records their start (default: OpenTelemetry's global one)."""

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str = names.DEFAULT_TASK_QUEUE,
        limits: RunLimits | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self._tracer_provider = tracer_provider
        self.temporal = client
        self.limits = limits or RunLimits()
        self.task_queue = task_queue
        self._searchable: frozenset[str] | None = None

    async def start(
        self,
        graph: str,
        input: Any,
        *,
        thread_id: str | None = None,
        config: Mapping[str, Any] | None = None,
        context: Any = None,
        keep_open: bool = False,
        carry_every: int = DEFAULT_CARRY,
        keep_checkpoints: int = DEFAULT_KEEP,
        checkpoint_id: str | None = None,
        budget: Budget | None = None,
        thread_budget: Budget | None = None,
        deadline: timedelta | None = None,
        approval_timeout: timedelta | None = None,
        stream: Sequence[str] = (),
    ) -> RunHandle:
        """Start a run.

        Args:
            graph: the graph's name on the worker.
            input: as for `graph.ainvoke`.
            thread_id: default: a new one.
            config: what a user may set of a RunnableConfig: configurable, tags, metadata, recursion_limit, ...
            context: for the graph's `context_schema`.
            keep_open: the thread stays for further runs, which go on from its state; started again on a thread that is
                open, this adds a run (they are worked off in order). Else the thread ends with the run.
            carry_every: continue as new after that many node calls; 0: only when Temporal suggests it.
            keep_checkpoints: how many checkpoints `history` knows, and a run can fork from; at least 1.
            checkpoint_id: on an open thread, start from this earlier checkpoint instead of the latest. What happened since
                is told by an `EffectsHappened` warning.
            budget: what this run may use; default: the client's (`limits`), as for the next three.
            thread_budget: what all runs of the thread together may use; counts when the thread is new.
            deadline: a run that has not ended so long after the thread took it fails with `RunExpired`.
            approval_timeout: how long a question waits that names no deadline; then the run fails with `ApprovalExpired`.
                `FOR_EVER` for one that may wait for ever.
            stream: LangGraph's stream modes that are told to the worker's broker while it runs.

        Raises:
            ThreadBusy: when a one-shot thread of that id runs.
        """
        limits = self.limits.overridden(RunLimits(budget, thread_budget, deadline, approval_timeout))
        request = limited(_request(input, config, context, checkpoint_id, stream), limits)
        workflow_id = thread_id or f"{graph}-{uuid.uuid4().hex[:12]}"
        start = ThreadStart(
            graph=graph,
            keep_open=keep_open,
            search=await self.has_search_attributes(),
            search_asked=await self.has_search_attributes(names.SEARCH_ASKED),
            carry_every=carry_every,
            keep_checkpoints=keep_checkpoints,
            thread_budget=limits.thread_budget,
        )
        if keep_open and thread_id and checkpoint_id:
            await warn_of_effects(self.temporal.get_workflow_handle(thread_id), checkpoint_id)
        with starting(graph, workflow_id, self._tracer_provider) as trace:
            return await self._start_run(workflow_id, start, replace(request, trace=trace))

    async def run(self, graph: str, input: Any, **options: Any) -> Any:
        """`start`, then wait for the result."""
        return await (await self.start(graph, input, **options)).result()

    async def handle(self, thread_id: str) -> RunHandle:
        """A handle on a thread's current run.

        Raises:
            ThreadNotFound: for an unknown thread.
        """
        handle = self.temporal.get_workflow_handle(thread_id)
        state = await query_state(handle)
        return self._run(handle, state.run_id or "", keep_open=state.run_id is not None and state.keep_open)

    async def state(self, thread_id: str) -> ThreadState:
        """A thread as of now. Raises ThreadNotFound for an unknown one."""
        return await query_state(self.temporal.get_workflow_handle(thread_id))

    def history(
        self,
        thread_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[ThreadSnapshot]:
        """As `RunHandle.history`."""
        return self._handle(thread_id).history(limit=limit, before=before, filter=filter)

    async def update_state(self, thread_id: str, values: Any, **options: Any) -> str:
        """As `RunHandle.update_state`."""
        return await self._handle(thread_id).update_state(values, **options)

    async def retry(self, thread_id: str, *, checkpoint_id: str | None = None) -> RunHandle:
        """Start a closed thread again, from its last finished step or an earlier checkpoint: after a failure, say, whose
        cause is put right. Finished nodes are not run again. Needs a worker that has the graph.

        From an earlier checkpoint, an `EffectsHappened` warning tells of effects that happened since.

        Raises:
            ThreadNotFound: for an unknown thread. ThreadBusy: when it runs.
        """
        if checkpoint_id:
            await warn_of_effects(self.temporal.get_workflow_handle(thread_id), checkpoint_id)
        return await self._restart(thread_id, checkpoint_id, compensate=False)

    async def happened_since(self, thread_id: str, checkpoint_id: str) -> list[EffectEntry]:
        """The effects that a run from that checkpoint may make again, under new keys; oldest first, as far back as the thread
        keeps checkpoints. Needs a worker that has the graph.

        Raises:
            ThreadNotFound: for an unknown thread.
        """
        return await happened_since(self.temporal.get_workflow_handle(thread_id), checkpoint_id)

    async def owed(self, thread_id: str) -> list[EffectEntry]:
        """The effects of a thread's run that an end in failure would undo, newest first. Needs a worker that has the graph.

        Raises:
            ThreadNotFound: for an unknown thread.
        """
        handle = self.temporal.get_workflow_handle(thread_id)
        return (await query(handle, names.QUERY_OWED, None, OwedEffects)).entries

    async def orphans(self, *, since: datetime | None = None) -> AsyncIterator[tuple[str, list[EffectEntry]]]:
        """Threads that were stopped from outside (terminated, timed out, the history limit; `since` a time, if one is given),
        so that no code of theirs could undo what they did: thread ids with the effects that they owe. `compensate` undoes
        them."""
        seen: set[str] = set()
        query = f"WorkflowType = '{names.THREAD_WORKFLOW}' AND ExecutionStatus IN ('Terminated', 'TimedOut')"
        if since is not None:
            query += f" AND CloseTime > '{since.isoformat()}'"
        async for execution in self.temporal.list_workflows(query):
            handle = self.temporal.get_workflow_handle(execution.id)
            latest = await handle.describe()
            if execution.id in seen or latest.run_id != execution.run_id:
                continue  # it was started again since
            seen.add(execution.id)
            if owed := await self.owed(execution.id):
                yield execution.id, owed

    async def compensate(self, thread_id: str) -> RunHandle:
        """Undo what a closed thread did to the world; the handle's result tells what became of it.

        Raises:
            ThreadNotFound: for an unknown thread. ThreadBusy: when it runs (cancel it instead).
        """
        return await self._restart(thread_id, None, compensate=True)

    async def _restart(self, thread_id: str, checkpoint_id: str | None, *, compensate: bool) -> RunHandle:
        handle = self.temporal.get_workflow_handle(thread_id)
        try:
            description = await handle.describe()
            if description.status == WorkflowExecutionStatus.RUNNING:
                raise ThreadBusy(f"thread {thread_id!r} is open: nothing to start again")
            start = await handle.query(
                names.QUERY_RESTART, args=[checkpoint_id, compensate], result_type=RawValue
            )
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise thread_not_found(thread_id) from error
            raise
        memo = await description.memo()
        graph, keep_open = str(memo.get("graph", "")), bool(memo.get("keep_open"))
        restarted = await self._start_thread(thread_id, start, graph, keep_open=keep_open)
        return self._run(restarted)

    async def resume(self, thread_id: str, answer: Any) -> list[str]:
        """As `RunHandle.resume`."""
        return await self._handle(thread_id).resume(answer)

    async def result(self, thread_id: str) -> Any:
        """As `RunHandle.result`, for the thread's current run."""
        return await (await self.handle(thread_id)).result()

    async def cancel(self, thread_id: str, *, compensate: bool = True) -> None:
        """As `RunHandle.cancel`, for the thread's current run. A one-shot thread needs no worker for it.

        Raises:
            ThreadNotFound: for an unknown thread.
        """
        handle = self.temporal.get_workflow_handle(thread_id)
        try:
            memo = await (await handle.describe()).memo()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise thread_not_found(thread_id) from error
            raise
        await self._run(handle, keep_open=bool(memo.get("keep_open"))).cancel(compensate=compensate)

    async def list(self, query: str | None = None, *, limit: int | None = None) -> AsyncIterator[ThreadInfo]:
        """Threads, newest first. `query` is added to the filter, in Temporal's list filter language."""
        where = f"WorkflowType = '{names.THREAD_WORKFLOW}'" + (f" AND ({query})" if query else "")
        async for execution in self.temporal.list_workflows(where, limit=limit):
            yield await _thread_info(execution)

    async def has_search_attributes(self, *wanted: str) -> bool:
        """Whether the namespace has Perdure's search attributes, and those `wanted` besides; asked once."""
        if self._searchable is None:
            self._searchable = await search_attributes(self.temporal)
        return {*names.BASE_ATTRIBUTES, *wanted} <= self._searchable

    def _sendable(self, value: ThreadStart | RunRequest, graph: str) -> RawValue:
        """Encoded here, so that what could not be sent or stored is refused before anything starts."""
        return sendable(value, f"the input of graph {graph!r}", self.temporal.data_converter)

    def _handle(self, thread_id: str) -> RunHandle:
        return self._run(self.temporal.get_workflow_handle(thread_id))

    def _run(
        self, handle: WorkflowHandle[Any, Any], run_id: str = "", *, keep_open: bool = False
    ) -> RunHandle:
        return RunHandle(handle, run_id=run_id, keep_open=keep_open, tracer_provider=self._tracer_provider)

    async def _start_run(self, workflow_id: str, start: ThreadStart, request: RunRequest) -> RunHandle:
        if start.keep_open:
            return await self._start_on_open_thread(workflow_id, start, request)
        sendable = self._sendable(replace(start, run=request), start.graph)
        handle = await self._start_thread(workflow_id, sendable, start.graph, keep_open=False)
        return self._run(handle, request.id)

    async def _start_thread(
        self, thread_id: str, start: RawValue, graph: str, *, keep_open: bool
    ) -> WorkflowHandle[Any, Any]:
        try:
            return await self.temporal.start_workflow(
                names.THREAD_WORKFLOW,
                start,
                id=thread_id,
                task_queue=self.task_queue,
                task_timeout=TASK_TIMEOUT,
                priority=_fair(thread_id),
                memo={"graph": graph, "keep_open": keep_open},
                static_summary=graph,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )
        except WorkflowAlreadyStartedError as error:
            raise ThreadBusy(
                f"thread {thread_id!r} has a run already: wait for it, cancel it (`perdure cancel {thread_id}`), or "
                "take another id"
            ) from error

    async def _start_on_open_thread(
        self, workflow_id: str, start: ThreadStart, request: RunRequest
    ) -> RunHandle:
        sent_request = self._sendable(request, start.graph)

        async def send() -> None:
            operation = WithStartWorkflowOperation(
                names.THREAD_WORKFLOW,
                start,
                id=workflow_id,
                task_queue=self.task_queue,
                task_timeout=TASK_TIMEOUT,
                priority=_fair(workflow_id),
                memo={"graph": start.graph, "keep_open": True},
                static_summary=start.graph,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
            await self.temporal.execute_update_with_start_workflow(
                names.UPDATE_START_RUN, sent_request, start_workflow_operation=operation, id=request.id
            )

        try:
            await sent(send, workflow_id)
        except WorkflowUpdateFailedError as error:
            raise ThreadBusy(str(error.cause)) from error
        # By id alone: the operation's own handle is bound to a workflow run, and would lose a thread that continued as new.
        handle = self.temporal.get_workflow_handle(workflow_id)
        return self._run(handle, request.id, keep_open=True)


def _fair(thread_id: str) -> Priority:
    """Threads take turns in a backlog, where the server has fairness switched on; node calls inherit it."""
    key = thread_id.encode()
    return Priority(fairness_key=thread_id if len(key) <= 64 else hashlib.sha256(key).hexdigest())


def _request(
    input: Any,
    config: Mapping[str, Any] | None,
    context: Any,
    checkpoint_id: str | None,
    stream: Sequence[str],
) -> RunRequest:
    return RunRequest(
        id=uuid.uuid4().hex,
        input=input,
        config=_run_config(config),
        context=context,
        checkpoint_id=checkpoint_id,
        stream=[*stream],
    )


def _run_config(config: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(config or {})
    given.pop("callbacks", None)
    return given


async def _thread_info(execution: WorkflowExecution) -> ThreadInfo:
    memo = await execution.memo()
    found = {pair.key.name: pair.value for pair in execution.typed_search_attributes.search_attributes}
    open_ = execution.status == WorkflowExecutionStatus.RUNNING
    closed_as = execution.status.name.lower() if execution.status else "unknown"
    closed_as = {"canceled": "cancelled"}.get(closed_as, closed_as)
    return ThreadInfo(
        thread_id=execution.id,
        graph=graph_of(memo, execution.typed_search_attributes),
        status=thread_status(memo, execution.typed_search_attributes) if open_ else closed_as,
        pending=int(str(found.get(names.SEARCH_PENDING) or memo.get("pending") or 0)) if open_ else 0,
        started_at=execution.start_time,
        closed_at=execution.close_time,
    )
