"""How many threads there are of which status, what they ask and since when, as gauges for a metrics endpoint.

Side: client. It asks Temporal's lists now and then; what several processes tell is the same, so a dashboard takes the largest.
Needs Perdure's search attributes.

| gauge                             | attributes | asked of Temporal                                                  |
|-----------------------------------|------------|--------------------------------------------------------------------|
| `perdure_threads`                 | status     | a count for each status                                            |
| `perdure_questions`               |            | counts of threads with 1, 2, ... questions or more, until there is none |
| `perdure_oldest_question_seconds` |            | any thread that asked before a time, which is halved in            |

Lists cannot be sorted with every store of Temporal's, and may have millions of lines: none is read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio.common import MetricMeter, SearchAttributeKey
from temporalio.service import RPCError

from perdure.client.client import PerdureClient
from perdure.contract import names

__all__ = ["Census", "oldest"]

_log = logging.getLogger(__name__)

_STATUSES = ("idle", "running", "interrupted", "error")
_ASKED_KEY = SearchAttributeKey.for_datetime(names.SEARCH_ASKED)
# Threads that ask more at a time are counted as if they asked so much.
_MOST_QUESTIONS = 50
# How exact the age is: to the second, or to this part of it.
_EXACT = 0.01


class Census:
    """`run` counts for ever."""

    def __init__(
        self, client: PerdureClient, meter: MetricMeter, *, every: timedelta = timedelta(seconds=15)
    ) -> None:
        self._client = client
        self._every = every
        self._threads = meter.create_gauge("perdure_threads", "Open threads by status")
        self._questions = meter.create_gauge("perdure_questions", "Questions that wait for an answer")
        self._oldest = meter.create_gauge(
            "perdure_oldest_question_seconds", "How long the oldest question waits", "s"
        )

    async def run(self) -> None:
        while True:
            try:
                await self.count()
            except RPCError as error:
                _log.debug("threads could not be counted: %s", error)
            await asyncio.sleep(self._every.total_seconds())

    async def count(self) -> None:
        """Once. Raises RPCError."""
        if not await self._client.has_search_attributes():
            return
        for status in _STATUSES:
            self._threads.set(await self._count(_with(status)), {"status": status})
        self._questions.set(await self._pending())
        if await self._client.has_search_attributes(names.SEARCH_ASKED):
            self._oldest.set(round(await oldest(self._asked_before, now=time.time())))

    async def _count(self, query: str) -> int:
        return (await self._client.temporal.count_workflows(query)).count

    async def _pending(self) -> int:
        total = 0
        for least in range(1, _MOST_QUESTIONS + 1):
            found = await self._count(f"{_with('interrupted')} AND {names.SEARCH_PENDING} >= {least}")
            total += found
            if not found:
                break
        return total

    async def _asked_before(self, moment: float) -> float | None:
        told = datetime.fromtimestamp(moment, UTC).isoformat()
        query = f"{_with('interrupted')} AND {names.SEARCH_ASKED} < '{told}'"
        async for thread in self._client.temporal.list_workflows(query, limit=1, page_size=1):
            asked = thread.typed_search_attributes.get(_ASKED_KEY)
            return None if asked is None else asked.timestamp()
        return None


async def oldest(asked_before: Callable[[float], Awaitable[float | None]], *, now: float) -> float:
    """Seconds since the oldest question was asked; 0 where there is none. `asked_before` knows the time of any one that was
    asked before a time."""
    found = await asked_before(now)
    if found is None:
        return 0.0
    low = now - found  # somebody has waited for so long,
    high = 2 * low + 1
    while (found := await asked_before(now - high)) is not None:
        low = now - found
        high = 2 * low + 1
    while high - low > max(1.0, low * _EXACT):  # and nobody for so long
        middle = (low + high) / 2
        found = await asked_before(now - middle)
        low, high = (low, middle) if found is None else (now - found, high)
    return low


def _with(status: str) -> str:
    return (
        f"WorkflowType = '{names.THREAD_WORKFLOW}' AND ExecutionStatus = 'Running' "
        f"AND {names.SEARCH_STATUS} = '{status}'"
    )
