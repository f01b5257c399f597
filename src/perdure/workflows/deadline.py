"""The deadline of a run. Side: workflow.

A point in workflow time that goes along when the thread continues as new. When it passes, what the run is doing is
cancelled and the run fails with `RunExpired`; what it did to the world is undone after that, however long it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow

from perdure.contract.thread import RunRequest
from perdure.errors import RunExpired

__all__ = ["dated", "in_time"]

_T = TypeVar("_T")


def dated(request: RunRequest) -> RunRequest:
    """The request with the time at which it is over, unless it is known; counted from now, or from when it is to begin."""
    if request.expires_in is None or request.expires_at is not None:
        return request
    begins = max(workflow.time(), request.wait_until or 0.0)
    return replace(request, expires_at=begins + request.expires_in)


async def in_time(request: RunRequest, work: Coroutine[Any, Any, _T]) -> _T:
    """Raises RunExpired, when the work did not end before the deadline."""
    if request.expires_at is None:
        return await work
    left = max(0.0, request.expires_at - workflow.time())
    limit = asyncio.timeout(left)
    try:
        async with limit:
            return await work
    except TimeoutError as error:
        if not limit.expired():
            raise
        given = timedelta(seconds=request.expires_in or 0)
        raise RunExpired(f"run {request.id!r} did not end within {given}") from error
