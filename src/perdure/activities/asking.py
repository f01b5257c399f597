"""Asking the workflow that an attempt belongs to, for as long as nobody is there to answer.

Side: activities. The server holds one waiting query per workflow and refuses others for a while, so the attempts of one
process ask one after the other.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

__all__ = ["Questions", "until_answered"]

_T = TypeVar("_T")

# A query is answered by a worker; while none is there (all restarting, say) it fails, and waiting is all that helps.
_TRANSIENT = frozenset(
    {
        RPCStatusCode.CANCELLED,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAVAILABLE,
    }
)


async def until_answered(ask: Callable[[], Awaitable[_T]]) -> _T:
    """What `ask` returns; asked again while the server or the workers are away.

    Raises:
        RPCError: for anything that waiting does not cure, such as a workflow that is over.
    """
    delay = 0.2
    while True:
        try:
            return await ask()
        except RPCError as error:
            if error.status not in _TRANSIENT:
                raise
        await asyncio.sleep(delay)
        delay = min(delay * 2, 2.0)


class Questions:
    """One per worker."""

    def __init__(self) -> None:
        self._turns: dict[str, asyncio.Lock] = {}
        self._askers: defaultdict[str, int] = defaultdict(int)

    async def ask(self, handle: WorkflowHandle[Any, Any], query: str, question: Any, answer: type[_T]) -> _T:
        """The answer to a query, when those before it have theirs.

        Raises:
            WorkflowQueryFailedError: when the workflow refuses. RPCError: as `until_answered` does.
        """
        turn = self._turns.setdefault(handle.id, asyncio.Lock())
        self._askers[handle.id] += 1
        try:
            async with turn:
                return await until_answered(lambda: handle.query(query, question, result_type=answer))
        finally:
            self._askers[handle.id] -= 1
            if not self._askers[handle.id]:
                del self._turns[handle.id], self._askers[handle.id]
