"""`Saga`: undo what was done, in reverse order, when a workflow's block ends in an exception.

Side: workflow; for your own `@workflow.defn` classes. Register an undo *before* what it undoes: an action whose answer was
lost may have happened all the same, so its undo must be able to find nothing to do.

| the block ends by        | then                                                                    |
|--------------------------|-------------------------------------------------------------------------|
| returning                | nothing is undone                                                       |
| any exception, also `CancelledError` | every undo that was added, last one first; then the exception goes on |
| an exception, after `commit()` | nothing that was added before the commit is undone                |

Guaranteed: an undo that fails does not stop the others, and a cancellation of the workflow does not stop any. Not
guaranteed: that an undo succeeds. Those that did not are named in `CompensationIncomplete`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from perdure._compat import is_activity
from perdure.contract.policy import UNDO_RETRY

__all__ = ["CompensationIncomplete", "Saga", "UndoFailure", "shielded"]

_T = TypeVar("_T")

_TIMEOUT = timedelta(minutes=5)


@dataclass(frozen=True)
class UndoFailure:
    """An undo that failed for good: its name, and the class and text of its last error."""

    undo: str
    reason: str


class CompensationIncomplete(ApplicationError):
    """Not all could be undone; `failures` names what was not. The exception that began it is its cause.

    A failure of Temporal's own, so that it fails the workflow.
    """

    def __init__(self, failures: Sequence[UndoFailure]) -> None:
        told = "; ".join(f"{failure.undo} ({failure.reason})" for failure in failures)
        super().__init__(
            f"compensation incomplete, a person must see to it: {told}",
            [asdict(failure) for failure in failures],
            type="CompensationIncomplete",
            non_retryable=True,
        )
        self.failures = list(failures)


Undo = Callable[..., Any] | str


@dataclass(frozen=True)
class _Step:
    undo: Undo
    args: tuple[Any, ...]
    retry: RetryPolicy
    timeout: timedelta
    task_queue: str | None

    @property
    def name(self) -> str:
        return self.undo if isinstance(self.undo, str) else getattr(self.undo, "__name__", repr(self.undo))

    async def run(self) -> None:
        if not isinstance(self.undo, str) and not is_activity(self.undo):
            done: Awaitable[Any] | Any = self.undo(*self.args)
            if isinstance(done, Awaitable):
                await done
            return
        await workflow.execute_activity(
            self.undo,
            args=list(self.args),
            start_to_close_timeout=self.timeout,
            retry_policy=self.retry,
            task_queue=self.task_queue,
            summary=f"undo: {self.name}",
        )


class Saga:
    """Undoes what its block did when the block ends in an exception.

        async with Saga() as saga:
            saga.add(release, order)                                  # before the action
            await workflow.execute_activity(reserve, order, ...)
            saga.add(refund, order)
            await workflow.execute_activity(charge, order, ...)

    Args:
        parallel: run the undos at the same time instead of one after the other in reverse order.
        retry: for undos that name none; it must be finite.
        timeout: limit of one attempt of an undo that names none.
    """

    def __init__(
        self,
        *,
        parallel: bool = False,
        retry: RetryPolicy = UNDO_RETRY,
        timeout: timedelta = _TIMEOUT,
    ) -> None:
        self._parallel = parallel
        self._retry = _finite(retry)
        self._timeout = timeout
        self._steps: list[_Step] = []

    def add(
        self,
        undo: Undo,
        *args: Any,
        retry: RetryPolicy | None = None,
        timeout: timedelta | None = None,
        task_queue: str | None = None,
    ) -> None:
        """Register an undo.

        Args:
            undo: an activity (function or name), or a function of the workflow's own, sync or async.
            args: what it is called with.

        Raises:
            ValueError: for a retry policy without end.
        """
        self._steps.append(
            _Step(undo, args, _finite(retry or self._retry), timeout or self._timeout, task_queue)
        )

    def commit(self) -> None:
        """The point of no return: forget what was added so far."""
        self._steps.clear()

    async def compensate(self) -> list[UndoFailure]:
        """Run the undos now; those that failed for good. What was undone is forgotten, what failed is not."""
        failures, cancelled = await shielded(self._undo_all())
        if cancelled is not None:
            raise cancelled
        return failures

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Anything else that is no Exception is the worker taking the workflow out of its memory.
        if not isinstance(error, (Exception, asyncio.CancelledError)):
            return
        failures, _ = await shielded(self._undo_all())
        if failures:
            raise CompensationIncomplete(failures) from error

    async def _undo_all(self) -> list[UndoFailure]:
        steps, self._steps = self._steps, []
        newest_first = steps[::-1]
        if self._parallel:
            problems = await asyncio.gather(*(_problem(step) for step in newest_first))
        else:
            problems = [await _problem(step) for step in newest_first]
        failed = [(step, text) for step, text in zip(newest_first, problems, strict=True) if text]
        self._steps = [step for step, _ in failed[::-1]] + self._steps
        return [UndoFailure(step.name, text) for step, text in failed]


async def shielded(work: Coroutine[Any, Any, _T]) -> tuple[_T, asyncio.CancelledError | None]:
    """Wait for `work` to its end, whoever cancels us meanwhile; its result, and the cancellation that came."""
    try:
        task = asyncio.create_task(work)
    except BaseException:
        work.close()  # the workflow is being taken out of the worker's memory
        raise
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    return task.result(), cancelled


async def _problem(step: _Step) -> str:
    try:
        await step.run()
    except Exception as error:  # noqa: BLE001 - the others must still be undone
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    cause = error.cause if isinstance(error, ActivityError) and error.cause else error
    text = cause.message if isinstance(cause, FailureError) else str(cause)
    return f"{getattr(cause, 'type', None) or type(cause).__name__}: {text}"


def _finite(retry: RetryPolicy) -> RetryPolicy:
    if retry.maximum_attempts < 1:
        raise ValueError("an undo's retry policy must be finite: set RetryPolicy(maximum_attempts=...)")
    return retry
