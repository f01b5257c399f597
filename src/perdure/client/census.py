"""How many threads there are of which status, as gauges for a metrics endpoint.

Side: client. It asks Temporal's lists now and then; what several processes tell is the same, so a dashboard takes the largest.
Needs Perdure's search attributes. How long the oldest question waits is known of threads that the HTTP server made.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta

from temporalio.common import MetricMeter
from temporalio.service import RPCError

from perdure.client.client import PerdureClient
from perdure.contract import names

__all__ = ["Census"]

_log = logging.getLogger(__name__)

_STATUSES = ("idle", "running", "interrupted", "error")
_MOST_LISTED = 1000


class Census:
    """`run` counts for ever."""

    def __init__(
        self, client: PerdureClient, meter: MetricMeter, *, every: timedelta = timedelta(seconds=15)
    ) -> None:
        self._client = client
        self._every = every
        self._threads = meter.create_gauge("perdure_threads", "Open threads by status")
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
            counted = await self._client.temporal.count_workflows(_query(status))
            self._threads.set(counted.count, {"status": status})
        oldest = now = time.time()
        async for thread in self._client.temporal.list_workflows(_query("interrupted"), limit=_MOST_LISTED):
            oldest = min(oldest, float((await thread.memo()).get("updated_at") or now))
        self._oldest.set(round(now - oldest))


def _query(status: str) -> str:
    return (
        f"WorkflowType = '{names.THREAD_WORKFLOW}' AND ExecutionStatus = 'Running' "
        f"AND {names.SEARCH_STATUS} = '{status}'"
    )
