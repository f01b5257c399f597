"""Threads and their runs, as the HTTP server needs them: made, found, asked, changed, deleted; all of it in Temporal.

Side: server. Stateless. A thread is one workflow that stays open; lists come from Temporal's visibility, which never asks a
workflow anything and lags by some milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution as Execution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowExecution,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.common import (
    RawValue,
    WorkflowIDConflictPolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from perdure.client.again import sent
from perdure.client.client import PerdureClient
from perdure.client.handle import RunHandle, thread_status
from perdure.client.limits import limited
from perdure.contract import names
from perdure.contract.limits import RunLimits
from perdure.contract.policy import TASK_TIMEOUT
from perdure.contract.run import CancelAction, CancelRequest, RunPage, RunRecord, RunsRequest
from perdure.contract.state import HistoryPage, HistoryRequest, StateUpdate, ThreadSnapshot
from perdure.contract.thread import (
    DEFAULT_CARRY,
    CarryOver,
    PendingInterrupt,
    RunRequest,
    ThreadStart,
    ThreadState,
)
from perdure.errors import ThreadBusy, ThreadNotFound
from perdure.graph.project_ttl import ThreadTtl
from perdure.storage.external import sendable
from perdure.workflows.listing import first_listed

__all__ = ["ServedThreads", "ThreadLine"]

_ANSWER_IN = timedelta(seconds=60)
_NOTHING: Any = object()


@dataclass(frozen=True)
class ThreadLine:
    """What is known of a thread without asking it. Times are seconds since the epoch; `values` are `None` where they are not
    small, or the thread runs for the first time."""

    thread_id: str
    graph: str
    status: str
    metadata: dict[str, Any]
    created_at: float
    updated_at: float
    values: Any = None


class ServedThreads:
    """`keep_checkpoints` is how many checkpoints a new thread keeps; `carry_every` as for `PerdureClient.start`;
    `ttl` how long threads stay that say nothing of it."""

    def __init__(
        self,
        client: PerdureClient,
        *,
        keep_checkpoints: int = 100,
        carry_every: int = DEFAULT_CARRY,
        ttl: ThreadTtl | None = None,
    ) -> None:
        self.client = client
        self._keep = keep_checkpoints
        self._carry = carry_every
        self._ttl = ttl

    # -- threads --------------------------------------------------------------------------------------------------

    async def create(
        self, thread_id: str, metadata: Mapping[str, Any], *, graph: str = "", ttl: ThreadTtl | None = None
    ) -> ThreadLine | None:
        """What was made; `None` where it was there already. Nobody is asked what it is like: a workflow that has just been
        started takes a second to answer."""
        start = await self._start(graph, metadata, ttl)
        options = self._options(thread_id, start)
        try:
            await self.client.temporal.start_workflow(
                names.THREAD_WORKFLOW, self._sendable(start, "the thread's metadata"), **options
            )
        except WorkflowAlreadyStartedError:
            return None
        return _started(options)

    async def copy(self, thread_id: str, copied: str) -> ThreadLine:
        """A new thread with the state and the questions of another; none of its runs, and nothing used of its budget. What
        was made, as `create`."""
        line = await self.line(thread_id)
        state = await self.state(thread_id)
        source = await self._ask(thread_id, names.QUERY_RESTART, None, ThreadStart)
        start = await self._start(state.graph, state.metadata or line.metadata)
        carry = replace(
            source.carry or CarryOver(),
            effects=[],
            past_effects=[],
            budgets=None,
            pending=list(state.interrupts),
            asking=bool(state.interrupts),
            metadata=None,
            root="",
        )
        start = replace(start, carry=carry)
        status = "interrupted" if state.interrupts else "idle"
        options = self._options(copied, start, status=status, waiting=state.interrupts)
        await self.client.temporal.start_workflow(
            names.THREAD_WORKFLOW, self._sendable(start, "the thread's state"), **options
        )
        return _started(options)

    async def line(self, thread_id: str) -> ThreadLine:
        """Raises ThreadNotFound for a thread that is not there, or closed."""
        handle = self._handle(thread_id)
        try:
            description = await handle.describe(rpc_timeout=_ANSWER_IN)
        except RPCError as error:
            if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
                raise _unknown(thread_id) from error
            raise
        if description.workflow_type != names.THREAD_WORKFLOW:
            raise _unknown(thread_id)
        return await _line(description)

    async def state(self, thread_id: str) -> ThreadState:
        return await self._ask(thread_id, names.QUERY_STATE, None, ThreadState)

    async def history(self, thread_id: str, request: HistoryRequest) -> list[ThreadSnapshot]:
        page = await self._ask(thread_id, names.QUERY_HISTORY, request, HistoryPage)
        return page.snapshots

    async def update_state(self, thread_id: str, update: StateUpdate) -> str:
        return await self._update(
            thread_id, names.UPDATE_STATE, self._sendable(update, "the update of the state"), str
        )

    async def prune(self, thread_id: str) -> None:
        """Forget all checkpoints but the latest. Refused while it runs."""
        await self._update(thread_id, names.UPDATE_PRUNE, _NOTHING, None)

    async def merge_metadata(self, thread_id: str, changes: Mapping[str, Any]) -> None:
        await self._update(thread_id, names.UPDATE_METADATA, dict(changes), None)

    async def delete(self, thread_id: str) -> None:
        """Cancel what is under way, then forget the thread."""
        await self.line(thread_id)
        for run in await self.runs(thread_id, RunsRequest(limit=1000)):
            if run.status in ("pending", "running"):
                await self.cancel(thread_id, run.id, wait=True)
        await self.client.temporal.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=self.client.temporal.namespace, workflow_execution=Execution(workflow_id=thread_id)
            )
        )
        await self._until_gone(thread_id)

    def search(
        self, where: list[str], *, order: str | None = None, limit: int | None = None, skip: int = 0
    ) -> AsyncIterator[ThreadLine]:
        """Threads that are open. `where` are filters in Temporal's language; of `limit` the first `skip` are left out."""
        return self._lines(_query(where) + (f" ORDER BY {order}" if order else ""), limit, skip)

    async def busy(self) -> list[str]:
        """Ids of the threads that have a run; those without Perdure's search attributes cannot tell."""
        if not await self.client.has_search_attributes():
            return []
        return [line.thread_id async for line in self.search([f"{names.SEARCH_STATUS} = 'running'"])]

    async def count(self, where: list[str]) -> int:
        return (await self.client.temporal.count_workflows(_query(where))).count

    # -- runs -----------------------------------------------------------------------------------------------------

    async def start_run(
        self,
        thread_id: str,
        request: RunRequest,
        *,
        create: Mapping[str, Any] | None = None,
        temporary: bool = False,
        new: bool = False,
    ) -> None:
        """Start a run, or queue it; within the limits of the client.

        Args:
            create: make the thread if it is not there, with this metadata.
            temporary: that thread ends with the run.
            new: only if it is made for this run.

        Raises:
            ThreadNotFound: when there is no such thread. WorkflowUpdateFailedError: when it refuses the run.
            WorkflowAlreadyStartedError: when there is one that should be new.
        """
        request = limited(request, self.client.limits.overridden(RunLimits()))
        sent_request = self._sendable(request, f"the input of graph {request.graph!r}")
        if create is None:
            await self._update(thread_id, names.UPDATE_START_RUN, sent_request, str, id=request.id)
            return
        start = replace(await self._start("", create), temporary=temporary)
        conflict = WorkflowIDConflictPolicy.FAIL if new else WorkflowIDConflictPolicy.USE_EXISTING

        async def send() -> None:
            operation = WithStartWorkflowOperation(
                names.THREAD_WORKFLOW,
                self._sendable(start, "the thread's metadata"),
                **self._options(thread_id, start),
                id_conflict_policy=conflict,
            )
            try:
                await self.client.temporal.execute_update_with_start_workflow(
                    names.UPDATE_START_RUN,
                    sent_request,
                    start_workflow_operation=operation,
                    id=request.id,
                    rpc_timeout=_ANSWER_IN,
                )
            except WorkflowAlreadyStartedError:
                await operation.workflow_handle()  # raises the same; what nobody asks for would be logged

        await sent(send, thread_id)

    async def result(self, thread_id: str, run_id: str) -> Any:
        """Wait for a run's end. Raises as `RunHandle.result`."""
        return await RunHandle(self._handle(thread_id), run_id=run_id, keep_open=True).result()

    async def runs(self, thread_id: str, request: RunsRequest) -> list[RunRecord]:
        return (await self._ask(thread_id, names.QUERY_RUNS, request, RunPage)).runs

    async def run(self, thread_id: str, run_id: str) -> RunRecord:
        """Raises ThreadNotFound for a run that is not known, or not any more."""
        for found in await self.runs(thread_id, RunsRequest(run_id=run_id)):
            return found
        raise ThreadNotFound(f"Run with ID {run_id} not found")

    async def cancel(
        self, thread_id: str, run_id: str, *, action: CancelAction = "interrupt", wait: bool = False
    ) -> bool:
        """Whether there was something to cancel."""
        request = CancelRequest(run_id, action)
        cancelled = bool(await self._update(thread_id, names.UPDATE_CANCEL, request, bool))
        while wait and await self._is_open(thread_id, run_id):  # noqa: ASYNC110 - it is the workflow's
            await asyncio.sleep(0.05)
        return cancelled

    async def _is_open(self, thread_id: str, run_id: str) -> bool:
        runs = await self.runs(thread_id, RunsRequest(run_id=run_id))
        return any(run.status in ("pending", "running") for run in runs)

    async def forget_run(self, thread_id: str, run_id: str) -> None:
        await self._update(thread_id, names.UPDATE_FORGET_RUN, run_id, None)

    async def new(self, metadata: Mapping[str, Any], *, temporary: bool) -> ThreadStart:
        """What a thread without runs starts with, for whoever starts it elsewhere."""
        return replace(await self._start("", metadata), temporary=temporary)

    # -- Temporal ---------------------------------------------------------------------------------------------------

    def _handle(self, thread_id: str) -> WorkflowHandle[Any, Any]:
        return self.client.temporal.get_workflow_handle(thread_id)

    async def _start(
        self, graph: str, metadata: Mapping[str, Any], ttl: ThreadTtl | None = None
    ) -> ThreadStart:
        ttl = ttl or self._ttl
        return ThreadStart(
            graph=graph,
            keep_open=True,
            search=await self.client.has_search_attributes(),
            search_asked=await self.client.has_search_attributes(names.SEARCH_ASKED),
            dated_at_rest=True,
            carry_every=self._carry,
            keep_checkpoints=self._keep,
            metadata=dict(metadata),
            thread_budget=self.client.limits.thread_budget,
            ttl_seconds=ttl.ttl * 60 if ttl else None,
            ttl_strategy=ttl.strategy if ttl else "delete",
        )

    def _options(
        self,
        thread_id: str,
        start: ThreadStart,
        *,
        status: str = "idle",
        waiting: Sequence[PendingInterrupt] = (),
    ) -> dict[str, Any]:
        return {
            "id": thread_id,
            "task_queue": self.client.task_queue,
            "task_timeout": TASK_TIMEOUT,
            **first_listed(start, graph=start.graph, status=status, now=time.time(), waiting=waiting),
        }

    def _sendable(self, value: Any, what: str) -> RawValue:
        return sendable(value, what, self.client.temporal.data_converter)

    async def _ask(self, thread_id: str, query: str, request: Any, answer: type[Any]) -> Any:
        args = [] if request is None else [request]
        if query == names.QUERY_RESTART:
            args = [None, False]
        try:
            return await self._handle(thread_id).query(
                query, args=args, result_type=answer, rpc_timeout=_ANSWER_IN
            )
        except WorkflowQueryFailedError as error:
            if "not found" in str(error) or "unknown" in str(error).lower():
                raise _unknown(thread_id) from error
            raise ThreadBusy(f"thread {thread_id!r} cannot tell: {error}") from error
        except RPCError as error:
            if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
                raise _unknown(thread_id) from error
            raise

    async def _update(self, thread_id: str, update: str, argument: Any, answer: Any, **options: Any) -> Any:
        """Also where the thread continues as new meanwhile."""
        args = [] if argument is _NOTHING else [argument]

        async def passes(error: RPCError) -> bool:
            if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
                return False
            if (await self.line(thread_id)).status == "closed":
                raise _unknown(thread_id) from error
            return True

        async def send() -> Any:
            return await self._handle(thread_id).execute_update(
                update, args=args, result_type=answer, rpc_timeout=_ANSWER_IN, **options
            )

        return await sent(send, thread_id, again=passes)

    async def _lines(self, query: str, limit: int | None, skip: int) -> AsyncIterator[ThreadLine]:
        async for execution in self.client.temporal.list_workflows(query, limit=limit):
            if skip:
                skip -= 1
                continue
            yield await _line(execution)

    async def _until_gone(self, thread_id: str) -> None:
        async with asyncio.timeout(_ANSWER_IN.total_seconds()):
            while True:
                try:
                    await self._handle(thread_id).describe()
                except RPCError as error:
                    if error.status == RPCStatusCode.NOT_FOUND:
                        return
                    raise
                await asyncio.sleep(0.05)


def _unknown(thread_id: str) -> ThreadNotFound:
    return ThreadNotFound(f"Thread with ID {thread_id} not found")


def _query(where: list[str]) -> str:
    return " AND ".join([f"WorkflowType = '{names.THREAD_WORKFLOW}'", "ExecutionStatus = 'Running'", *where])


def _started(options: Mapping[str, Any]) -> ThreadLine:
    memo: Mapping[str, Any] = options["memo"]
    created: float = memo["created_at"]
    return ThreadLine(options["id"], memo["graph"], memo["status"], dict(memo["metadata"]), created, created)


async def _line(execution: WorkflowExecution) -> ThreadLine:
    memo = await execution.memo()
    closed = execution.close_time is not None
    metadata = memo.get("metadata")
    created = memo.get("created_at")
    created_at = float(created) if isinstance(created, float | int) else execution.start_time.timestamp()
    updated = memo.get("updated_at")
    return ThreadLine(
        thread_id=execution.id,
        graph=str(memo.get("graph", "")),
        status="closed" if closed else thread_status(memo, execution.typed_search_attributes),
        metadata=dict(metadata) if isinstance(metadata, dict) else {"graph_id": str(memo.get("graph", ""))},
        created_at=created_at,
        updated_at=float(updated) if isinstance(updated, float | int) else created_at,
        values=memo.get("values"),
    )
