"""Heartbeats of an attempt, and the memory that they leave for the next one.

Side: activities. A heartbeat says that the attempt is alive; it also carries the checkpoints of graphs and tasks that the
node runs by itself, the answers of its models, what it used and the kinds of its failures, so that another attempt, in another
process, goes on from there.

Guaranteed: `save` comes back when the server has the memory, or after `_SAVE_TIMEOUT`. Not guaranteed: that the last second
is in it otherwise; and checkpoints over `_MOST_BYTES` are not sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import AsyncActivityCancelledError
from temporalio.service import RPCError

from perdure._compat import CONF, CONFIG_KEY_RESUMING
from perdure.activities.deaths import forget_worker
from perdure.activities.failures import classify
from perdure.activities.journal import Journal
from perdure.activities.meter import Meter
from perdure.activities.pulse import Pulse, watched
from perdure.contract.node import NodeCall, NodeInput
from perdure.contract.thread import SavedCheckpoint
from perdure.contract.usage import usage_from
from perdure.errors import ModelOutputError, PayloadError

__all__ = ["HANDED_OVER", "Heartbeats", "remembered"]

HANDED_OVER = "worker_shutdown"
"""Among the kinds of failures: no failure, the attempt's worker stopped."""

_MOST_BYTES = 500_000
_MOST_FAILURES = 200
_SAVE_TIMEOUT = timedelta(seconds=2)
# The SDK sends one heartbeat a second (`max_heartbeat_throttle_interval` of the plugin), and keeps the latest until then.
_THROTTLED_SECONDS = 1.5
# Another failure may be over what a model has said, and then it must be asked again.
_OUTSIDE = frozenset({
    "rate_limited", "overloaded", "timeout", "conflict", "server_error", "connection", "database", "mail_deferred",
})  # fmt: skip


class Heartbeats:
    """`memory` gives the checkpoints that the next attempt should have. `journal`, `meter` and `failures` (the kinds of this
    call's failed attempts, as `kind_of` names them; not those whose worker died, or that took too long) go on from what the
    attempts before this one have left."""

    def __init__(
        self, call: NodeCall | None = None, *, kind_of: Callable[[BaseException], str] | None = None
    ) -> None:
        self.memory: Callable[[], Sequence[SavedCheckpoint]] = tuple
        left = _left()
        self.failures: list[str] = list(left.get("failures", ()))
        self._kind_of = kind_of or (lambda error: classify(error).kind)
        self._given = call.answers if call else []
        self._beaten = float("-inf")
        self._pulse: Pulse | None = None
        self.journal = Journal(left.get("answers", ()) if left else self._given)
        self.meter = Meter(usage_from(left.get("usage")).models, call.left if call else None)

    @property
    def attempt(self) -> int:
        """Which attempt this is, counting from 1, without those that a stopping worker handed over."""
        return activity.info().attempt - self.failures.count(HANDED_OVER)

    @asynccontextmanager
    async def beating(self) -> AsyncGenerator[None]:
        """Beat four times within the time after which the attempt would be taken for dead, and once more if it fails."""
        if activity.info().attempt - 1 > len(self.failures):
            await forget_worker()  # the one before has not failed: it fell silent
        limit = activity.info().heartbeat_timeout
        task = asyncio.create_task(self._beat(limit.total_seconds() / 4)) if limit is not None else None
        try:
            with watched(activity.info().heartbeat_details) as self._pulse:
                yield
        except asyncio.CancelledError:
            if activity.is_worker_shutdown():
                self.failures.append(HANDED_OVER)
                activity.heartbeat(*self._details())
            raise
        except Exception as error:
            kind = self._kind_of(error)
            self.failures.append(kind)
            unusable = kind not in _OUTSIDE or isinstance(error, ModelOutputError)
            if self.meter.refused is None and unusable:
                self.journal.clear()
            # Not every server keeps a heartbeat that comes shortly before a failure.
            await self.save()
            raise
        finally:
            if task is not None:
                task.cancel()

    async def save(self) -> None:
        """Have the server know the memory as it is now."""
        details = self._details()
        if not details:
            return
        if time.monotonic() - self._beaten < _THROTTLED_SECONDS:
            # One may wait in the SDK, and would be sent after this one, with less in it.
            self._tell(details)
        handle = activity.client().get_async_activity_handle(task_token=activity.info().task_token)
        if self._pulse is not None:
            self._pulse.beat(details)
        try:
            await handle.heartbeat(*details, rpc_timeout=_SAVE_TIMEOUT)
        except (RPCError, AsyncActivityCancelledError):
            self._tell(details)  # the SDK tries again, and hands a cancellation on

    def _tell(self, details: list[Any]) -> None:
        activity.heartbeat(*details)
        self._beaten = time.monotonic()
        if self._pulse is not None:
            self._pulse.beat(details)

    async def _beat(self, seconds: float) -> None:
        # Not at once: what the server knows by then is as good, and each heartbeat costs a write (and, hosted, money).
        while True:
            await asyncio.sleep(seconds)
            self._tell(self._details())

    def _details(self) -> list[Any]:
        memory = list(self.memory())
        try:
            small = not memory or len(activity.payload_converter().to_payload(memory).data) <= _MOST_BYTES
        except PayloadError:
            small = False  # what cannot be stored is not remembered; the node's own result decides whether it fails
        del self.failures[:-_MOST_FAILURES]
        left = {"answers": self.journal.entries, "usage": self.meter.usage.told(), "failures": self.failures}
        if any(left.values()) or self._given:
            return [memory if small else [], left]
        return [memory] if memory and small else []


def _left() -> dict[str, Any]:
    details = activity.info().heartbeat_details
    return details[1] if len(details) > 1 and isinstance(details[1], dict) else {}


def remembered(given: NodeInput) -> NodeInput:
    """The input with what an earlier attempt left behind, which then goes on instead of starting again."""
    details = activity.info().heartbeat_details
    if not details or not isinstance(details[0], list) or not details[0]:
        return given
    config = {**given.config, CONF: {**given.config[CONF], CONFIG_KEY_RESUMING: True}}
    return replace(given, nested=details[0], config=config)
