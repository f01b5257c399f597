"""Sending to a thread again what it could not take just now. Side: client.

A thread that continues as new meanwhile refuses updates for a moment, and Temporal lets ten wait for one workflow at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from perdure.errors import ThreadBusy

__all__ = ["CONTINUED", "moving_on", "sent"]

CONTINUED = "AcceptedUpdateCompletedWorkflow"
"""The type of the failure of an update that was accepted by a workflow run which then continued as new."""

_T = TypeVar("_T")

_TRIES = 20
_PAUSE_SECONDS = 0.05


def moving_on(error: BaseException) -> bool:
    """Whether an update may be sent again."""
    if isinstance(error, WorkflowUpdateFailedError):
        return isinstance(error.cause, ApplicationError) and error.cause.type == CONTINUED
    if not isinstance(error, RPCError):
        return False
    if error.status == RPCStatusCode.RESOURCE_EXHAUSTED:
        return True
    told = str(error)
    return error.status == RPCStatusCode.FAILED_PRECONDITION and (
        "workflow task failure" in told or "Workflow Task in failed state" in told
    )


async def sent(
    send: Callable[[], Awaitable[_T]],
    thread_id: str,
    *,
    again: Callable[[RPCError], Awaitable[bool]] | None = None,
) -> _T:
    """What `send` returns, tried several times within some ten seconds. `again` tells of further errors whether they pass.

    Raises:
        ThreadBusy: when none of them was taken.
    """
    for attempt in range(_TRIES):
        await asyncio.sleep(_PAUSE_SECONDS * attempt)
        try:
            return await send()
        except (WorkflowUpdateFailedError, RPCError) as error:
            if moving_on(error):
                continue
            if again is None or not isinstance(error, RPCError) or not await again(error):
                raise
    raise ThreadBusy(f"thread {thread_id!r} is moving on: try again")
