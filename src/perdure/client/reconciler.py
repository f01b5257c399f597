"""Looking again and again for threads that were stopped before they could undo what they did.

Side: client. A worker process runs it beside its worker. Several may run at the same time: a thread is compensated by one of
them, whichever starts it first.

Not guaranteed: that what is found is undone at once; `every` is how long it may take. Who needs it sooner calls
`perdure reconcile`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime, timedelta

from temporalio.service import RPCError

from perdure.client.client import PerdureClient, ThreadBusy
from perdure.errors import PerdureError

__all__ = ["Reconciler"]

_log = logging.getLogger(__name__)

# What a look may miss: visibility is eventually consistent.
_OVERLAP = timedelta(minutes=1)


class Reconciler:
    """Tells of each such thread once, or undoes what it owes.

    Args:
        every: time between looks; the first one is at the start.
        back: how long ago threads may have been stopped that the first look finds.
        compensate: undo what is owed, instead of logging a warning that it is.
    """

    def __init__(
        self,
        client: PerdureClient,
        *,
        every: timedelta = timedelta(minutes=5),
        back: timedelta = timedelta(days=1),
        compensate: bool = False,
    ) -> None:
        self._client = client
        self._every = every
        self._since = datetime.now(UTC) - back
        self._compensate = compensate
        self._told: set[str] = set()

    async def run(self) -> None:
        """Until it is cancelled. A server or worker that does not answer is asked again the next time."""
        while True:
            try:
                await self.look()
            except (RPCError, PerdureError) as error:
                _log.warning("could not look for threads that owe compensation: %s", error)
            except Exception:  # noqa: BLE001 - the worker goes on, and says so
                _log.exception("could not look for threads that owe compensation")
            # Workers that start together should not look together.
            await asyncio.sleep(self._every.total_seconds() * random.uniform(0.8, 1.2))

    async def look(self) -> list[str]:
        """One look; the threads that were found for the first time."""
        started = datetime.now(UTC)
        found: list[str] = []
        async for thread, owed in self._client.orphans(since=self._since):
            if thread in self._told:
                continue
            self._told.add(thread)
            found.append(thread)
            names = ", ".join(entry.name for entry in owed)
            if not self._compensate:
                _log.warning(
                    "thread %s was stopped and owes compensation for: %s (`perdure reconcile --compensate` undoes them)",
                    thread,
                    names,
                )
                continue
            _log.warning("thread %s was stopped: undoing %s", thread, names)
            try:
                await self._client.compensate(thread)
            except ThreadBusy:
                pass  # another worker was first
        self._since = started - _OVERLAP
        return found
