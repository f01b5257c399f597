"""Heartbeats of an attempt, and the memory that they leave for the next one.

Side: activities. A heartbeat says that the attempt is alive; it also carries the checkpoints of graphs and tasks that the
node runs by itself, so that another attempt, in another process, goes on from there, and the kinds of the failures so far.

Not guaranteed: that the last second is in it; and a memory over `_MOST_BYTES` is not sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from temporalio import activity

from perdure._compat import CONF, CONFIG_KEY_RESUMING
from perdure.contract.node import NodeInput
from perdure.contract.thread import SavedCheckpoint
from perdure.errors import PayloadError

__all__ = ["HANDED_OVER", "Heartbeats", "remembered"]

HANDED_OVER = "worker_shutdown"
"""Among the kinds of failures: no failure, the attempt's worker stopped."""

_MOST_BYTES = 500_000
_MOST_FAILURES = 200


class Heartbeats:
    """`memory` gives the checkpoints that the next attempt should have; `failures` are the kinds of this call's failed
    attempts, as `kind_of` names them (one whose worker died, or that took too long, is not among them)."""

    def __init__(self, kind_of: Callable[[BaseException], str] | None = None) -> None:
        self.memory: Callable[[], Sequence[SavedCheckpoint]] = tuple
        self.failures = _earlier_failures()
        self._kind_of = kind_of

    @property
    def attempt(self) -> int:
        """Which attempt this is, counting from 1, without those that a stopping worker handed over."""
        return activity.info().attempt - self.failures.count(HANDED_OVER)

    @asynccontextmanager
    async def beating(self) -> AsyncGenerator[None]:
        """Beat four times within the time after which the attempt would be taken for dead, and once more if it fails."""
        limit = activity.info().heartbeat_timeout
        task = asyncio.create_task(self._beat(limit.total_seconds() / 4)) if limit is not None else None
        try:
            yield
        except asyncio.CancelledError:
            if activity.is_worker_shutdown():
                self.failures.append(HANDED_OVER)
                self._send()
            raise
        except Exception as error:
            if self._kind_of is not None:
                self.failures.append(self._kind_of(error))
            self._send()
            raise
        finally:
            if task is not None:
                task.cancel()

    async def _beat(self, seconds: float) -> None:
        while True:
            self._send()
            await asyncio.sleep(seconds)

    def _send(self) -> None:
        memory = list(self.memory())
        try:
            small = not memory or len(activity.payload_converter().to_payload(memory).data) <= _MOST_BYTES
        except PayloadError:
            small = False  # what cannot be stored is not remembered; the node's own result decides whether it fails
        kept = memory if memory and small else None
        del self.failures[:-_MOST_FAILURES]
        if self.failures:
            activity.heartbeat(kept, self.failures)
        elif kept:
            activity.heartbeat(kept)
        else:
            activity.heartbeat()


def _earlier_failures() -> list[str]:
    details = activity.info().heartbeat_details
    return list(details[1]) if len(details) > 1 else []


def remembered(given: NodeInput) -> NodeInput:
    """The input with what an earlier attempt left behind, which then goes on instead of starting again."""
    details = activity.info().heartbeat_details
    if not details or not isinstance(details[0], list):
        return given
    config = {**given.config, CONF: {**given.config[CONF], CONFIG_KEY_RESUMING: True}}
    return replace(given, nested=details[0], config=config)
