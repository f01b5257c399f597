"""A handle on one run of a thread.

Side: client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from opentelemetry.trace import TracerProvider
from temporalio import exceptions
from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue, TypedSearchAttributes
from temporalio.exceptions import ApplicationError, CancelledError, FailureError, TerminatedError
from temporalio.service import RPCError, RPCStatusCode

from perdure._compat import data_converter_of
from perdure.client.again import CONTINUED, moving_on
from perdure.contract import names
from perdure.contract.state import HistoryPage, HistoryRequest, StateUpdate, ThreadSnapshot
from perdure.contract.thread import Answer, PendingInterrupt, ThreadState
from perdure.errors import InterruptUnknown, RunCancelled, RunFailed, StateUpdateRefused, ThreadNotFound
from perdure.storage.external import sendable
from perdure.telemetry.propagation import calling

__all__ = [
    "RunHandle",
    "graph_of",
    "query",
    "query_history",
    "query_state",
    "run_failed",
    "thread_not_found",
    "thread_status",
]

_T = TypeVar("_T")

_WAIT_SECONDS = 0.5
_OPEN = ("running", "interrupted", "idle", "error")


class RunHandle:
    """One run. `handle` is Temporal's own handle on the thread's workflow, for whatever this class does not offer."""

    def __init__(
        self,
        handle: WorkflowHandle[Any, Any],
        *,
        run_id: str,
        keep_open: bool,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self.handle = handle
        self._tracer_provider = tracer_provider
        self.run_id = run_id
        self._keep_open = keep_open

    @property
    def thread_id(self) -> str:
        return self.handle.id

    async def result(self) -> Any:
        """Wait for the end; the final state values, as `graph.ainvoke` would return them.

        Raises:
            RunFailed: naming the node and the cause. RunCancelled: when it was cancelled or terminated.
        """
        closed = not self._keep_open
        while True:
            try:
                if closed:
                    return await self.handle.result()
                return await self.handle.execute_update(names.UPDATE_RUN_RESULT, self.run_id)
            except (WorkflowFailureError, WorkflowUpdateFailedError) as error:
                # The thread continued as new while we waited: its new workflow run knows the run, too.
                if isinstance(error.cause, ApplicationError) and error.cause.type == CONTINUED:
                    continue
                raise run_failed(error.cause, self.thread_id) from error
            except RPCError as error:
                if moving_on(error):
                    # Ten may wait for one thread at a time: this one is the eleventh.
                    await asyncio.sleep(_WAIT_SECONDS)
                    continue
                # As above, when it was over before the server had handed our question to it.
                if error.status != RPCStatusCode.NOT_FOUND or closed:
                    raise
                closed = await self._status() not in _OPEN

    async def state(self) -> ThreadState:
        """The thread as of now: `.values`, `.next`, `.interrupts`, `.status`. Needs a worker that has the graph.

        Raises:
            ThreadNotFound: for an unknown thread.
        """
        return await query_state(self.handle)

    def history(
        self, *, limit: int | None = None, before: str | None = None, filter: Mapping[str, Any] | None = None
    ) -> AsyncIterator[ThreadSnapshot]:
        """The checkpoints that the thread keeps, newest first; as LangGraph's `get_state_history`.

        Args:
            limit: how many at most.
            before: only those older than this checkpoint id.
            filter: only those whose metadata has these values, such as `{"source": "input"}`.

        Raises:
            ThreadNotFound: for an unknown thread.
        """
        return query_history(self.handle, limit=limit, before=before, filter=filter)

    async def update_state(
        self, values: Any, *, as_node: str | None = None, checkpoint_id: str | None = None
    ) -> str:
        """Write to the state by hand, as LangGraph's `update_state`. What the thread had asked is not asked any more:
        a waiting run stops before its next nodes, and goes on with any answer (`resume(None)`).

        Args:
            values: an update as a node would return it; `None` moves on without one.
            as_node: the node that it counts as; what comes after that node comes next.
            checkpoint_id: an earlier checkpoint to write on, which makes a branch.

        Returns:
            The new checkpoint's id.

        Raises:
            StateUpdateRefused: the thread runs or is closed, or LangGraph refuses the update; nothing has changed then.
        """
        update = StateUpdate(values, as_node=as_node, checkpoint_id=checkpoint_id)
        try:
            sent = sendable(update, "the update of the state", data_converter_of(self.handle))
            with calling("update_state", self.thread_id, self._tracer_provider):
                return await self.handle.execute_update(names.UPDATE_STATE, sent, result_type=str)
        except WorkflowUpdateFailedError as error:
            raise StateUpdateRefused(_message(error.cause)) from error
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            raise StateUpdateRefused(
                f"thread {self.thread_id!r} is closed (or unknown): start it again with `retry`, or keep threads open"
            ) from error

    async def wait_for_approvals(
        self, *, timeout: timedelta | None = None, poll: timedelta = timedelta(milliseconds=50)
    ) -> list[PendingInterrupt]:
        """Wait until the run asks for something; what it asks. An empty list when it ended without asking.

        Raises:
            TimeoutError: when `timeout` is given and over. RunFailed: when the run failed.
        """
        async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
            while (status := await self._status()) == "running":  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(poll.total_seconds())
        if status in ("interrupted", "idle"):
            return list((await self.state()).interrupts)
        if status != "completed":
            await self.result()
        return []

    async def resume(self, answer: Any) -> list[str]:
        """Answer what waits: a mapping from interrupt id to answer, or the answer itself when just one waits.

        Returns:
            The ids that were answered.

        Raises:
            InterruptUnknown: when nothing of that id waits (any more); nothing has been changed then.
            PayloadTooLarge: when the answer is.
        """
        with calling("resume", self.thread_id, self._tracer_provider) as trace:
            given = Answer(answer, trace=trace.parent if trace is not None else "")
            # Temporal would take more, and then the thread's worker could not say that it has accepted it.
            return await self._resume(sendable(given, "the answer", data_converter_of(self.handle)))

    async def _resume(self, sent: RawValue) -> list[str]:
        while True:
            try:
                return await self.handle.execute_update(names.UPDATE_RESUME, sent, result_type=list[str])
            except WorkflowUpdateFailedError as error:
                raise InterruptUnknown(_message(error.cause)) from error
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
                # It may have continued as new before the server had handed our answer to it: then once more.
                if await self._status() not in _OPEN:
                    raise InterruptUnknown(
                        f"thread {self.thread_id!r} does not run (any more), so nothing waits"
                    ) from error

    async def cancel(self, *, compensate: bool = True) -> None:
        """Cancel the run: what is under way is cancelled within seconds. A thread that stays open stays.

        Args:
            compensate: undo what the run did. `False` leaves it done, and needs a worker that has the graph.
        """
        with calling("cancel", self.thread_id, self._tracer_provider):
            if self._keep_open or not compensate:
                await self.handle.execute_update(names.UPDATE_CANCEL_RUN, args=[] if compensate else [False])
            if not self._keep_open:
                await self.handle.cancel()

    async def _status(self) -> str:
        """By what the server knows: a query would cost a worker a replay."""
        description = await self.handle.describe()
        if description.status in (None, WorkflowExecutionStatus.RUNNING):
            return thread_status(await description.memo(), description.typed_search_attributes)
        return description.status.name.lower()


async def query_history(
    handle: WorkflowHandle[Any, Any],
    *,
    limit: int | None = None,
    before: str | None = None,
    filter: Mapping[str, Any] | None = None,
) -> AsyncIterator[ThreadSnapshot]:
    """Page after page, as many as fit into one answer each."""
    while limit is None or limit > 0:
        wanted = HistoryRequest(limit=limit, before=before, filter=dict(filter) if filter else None)
        page = (await query(handle, names.QUERY_HISTORY, wanted, HistoryPage)).snapshots
        for snapshot in page:
            yield snapshot
        if not page:
            return
        before = page[-1].checkpoint_id
        limit = None if limit is None else limit - len(page)


async def query_state(handle: WorkflowHandle[Any, Any]) -> ThreadState:
    """Raises ThreadNotFound for an unknown thread."""
    return await query(handle, names.QUERY_STATE, None, ThreadState)


async def query(handle: WorkflowHandle[Any, Any], name: str, request: Any, answer: type[_T]) -> _T:
    """Ask a thread's workflow. Raises ThreadNotFound for an unknown thread."""
    try:
        args = [] if request is None else [request]
        return await handle.query(name, args=args, result_type=answer)
    except WorkflowQueryFailedError as error:
        raise RunFailed(str(error), thread_id=handle.id) from error
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise thread_not_found(handle.id) from error
        raise


def thread_not_found(thread_id: str) -> ThreadNotFound:
    return ThreadNotFound(f"no thread {thread_id!r} in this namespace; `perdure list` shows those there are")


def thread_status(memo: Mapping[str, Any], attributes: TypedSearchAttributes) -> str:
    """A thread's status as its workflow wrote it where lists can see it; "running" before it wrote anything."""
    found = {pair.key.name: pair.value for pair in attributes.search_attributes}
    return str(found.get(names.SEARCH_STATUS) or memo.get("status") or "running")


def graph_of(memo: Mapping[str, Any], attributes: TypedSearchAttributes) -> str:
    """A thread's graph, likewise: one that was made without a graph has that of its latest run. "" before there was any."""
    found = {pair.key.name: pair.value for pair in attributes.search_attributes}
    return str(memo.get("graph") or found.get(names.SEARCH_GRAPH) or "")


def run_failed(cause: BaseException | None, thread_id: str) -> RunFailed:
    """The client-side error for the failure that ended a run."""
    if isinstance(cause, CancelledError):
        return RunCancelled("the run was cancelled", thread_id=thread_id, cause_type="Cancelled")
    if isinstance(cause, TerminatedError):
        return RunCancelled(
            f"the thread was terminated: {cause.message}", thread_id=thread_id, cause_type="Terminated"
        )
    if isinstance(cause, exceptions.TimeoutError):
        return RunFailed(f"the run took too long: {cause.message}", thread_id=thread_id, cause_type="Timeout")
    if isinstance(cause, ApplicationError):
        first = cause.details[0] if cause.details else None
        details: dict[str, Any] = first if isinstance(first, dict) else {}
        kind = RunCancelled if cause.type == RunCancelled.__name__ else RunFailed
        return kind(
            cause.message,
            thread_id=thread_id,
            node=details.get("node"),
            cause_type=details.get("cause_type") or cause.type or "",
            details=details,
        )
    return RunFailed(_message(cause), thread_id=thread_id)


def _message(cause: BaseException | None) -> str:
    if isinstance(cause, FailureError):
        return cause.message
    return str(cause) if cause is not None else "the run failed without saying why"
