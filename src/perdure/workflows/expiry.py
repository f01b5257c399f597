"""The end of a thread that nobody uses: it is deleted, or only its latest checkpoint stays.

Side: workflow. Counted from the end of its latest run, or from when it was made. A thread that waits for an answer is one that
nobody uses, too; what it did to the world stays done.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from perdure.contract import names
from perdure.contract.thread import ThreadStart
from perdure.errors import ThreadNotFound
from perdure.graph.saver import WindowSaver

__all__ = ["Expiry"]

_ATTEMPT = timedelta(seconds=30)
_RETRY = RetryPolicy(maximum_attempts=10)


class Expiry:
    """`unused()` begins to count, `at` is when it is over (seconds since the epoch, workflow time)."""

    def __init__(self, start: ThreadStart, saver: WindowSaver) -> None:
        self.at: float | None = None
        self._ttl = start.ttl_seconds
        self._delete = start.ttl_strategy == "delete"
        self._saver = saver
        self._deleting = False

    def unused(self) -> None:
        self.at = None if self._ttl is None else workflow.time() + self._ttl

    def check(self) -> None:
        """Raises ThreadNotFound while the thread is being deleted: what it took now would be lost."""
        if self._deleting:
            raise ThreadNotFound(
                f"thread {workflow.info().workflow_id!r} is being deleted: nobody has used it"
            )

    async def expire(self) -> None:
        """The time is over. Where it is deleted, this does not come back."""
        self.at = None
        if not self._delete:
            self._saver.keep_latest()
            return
        self._deleting = True
        try:
            await workflow.execute_activity(
                names.DELETE_THREAD, start_to_close_timeout=_ATTEMPT, retry_policy=_RETRY
            )
        except ActivityError as error:
            workflow.logger.warning("the thread could not be deleted: %s", error.cause)
            self.unused()
        finally:
            self._deleting = False
