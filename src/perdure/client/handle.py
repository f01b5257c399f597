"""A handle on one run of a thread.

Side: client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from temporalio import exceptions
from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import TypedSearchAttributes
from temporalio.exceptions import ApplicationError, CancelledError, FailureError, TerminatedError
from temporalio.service import RPCError, RPCStatusCode

from perdure.contract import names
from perdure.contract.thread import Answer, PendingInterrupt, ThreadState
from perdure.errors import InterruptUnknown, RunCancelled, RunFailed, ThreadNotFound

__all__ = ["RunHandle", "query_state", "run_failed", "thread_not_found", "thread_status"]

_CONTINUED = "AcceptedUpdateCompletedWorkflow"


class RunHandle:
    """One run. `handle` is Temporal's own handle on the thread's workflow, for whatever this class does not offer."""

    def __init__(self, handle: WorkflowHandle[Any, Any], *, run_id: str, keep_open: bool) -> None:
        self.handle = handle
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
        while True:
            try:
                if self._keep_open:
                    return await self.handle.execute_update(names.UPDATE_RUN_RESULT, self.run_id)
                return await self.handle.result()
            except (WorkflowFailureError, WorkflowUpdateFailedError) as error:
                # The thread continued as new while we waited: its new workflow run knows the run, too.
                if isinstance(error.cause, ApplicationError) and error.cause.type == _CONTINUED:
                    continue
                raise run_failed(error.cause, self.thread_id) from error

    async def state(self) -> ThreadState:
        """The thread as of now: `.values`, `.next`, `.interrupts`, `.status`. Needs a worker that has the graph.

        Raises:
            ThreadNotFound: for an unknown thread.
        """
        return await query_state(self.handle)

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
        """
        try:
            return await self.handle.execute_update(
                names.UPDATE_RESUME, Answer(answer), result_type=list[str]
            )
        except WorkflowUpdateFailedError as error:
            raise InterruptUnknown(_message(error.cause)) from error
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise InterruptUnknown(
                    f"thread {self.thread_id!r} does not run (any more), so nothing waits"
                ) from error
            raise

    async def cancel(self) -> None:
        """Cancel the run: what is under way is cancelled within seconds. A thread that stays open stays."""
        if self._keep_open:
            await self.handle.execute_update(names.UPDATE_CANCEL_RUN)
        else:
            await self.handle.cancel()

    async def _status(self) -> str:
        """By what the server knows: a query would cost a worker a replay."""
        description = await self.handle.describe()
        if description.status in (None, WorkflowExecutionStatus.RUNNING):
            return thread_status(await description.memo(), description.typed_search_attributes)
        return description.status.name.lower()


async def query_state(handle: WorkflowHandle[Any, Any]) -> ThreadState:
    """Raises ThreadNotFound for an unknown thread."""
    try:
        return await handle.query(names.QUERY_STATE, result_type=ThreadState)
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
