"""Heartbeats of attempts whose worker's event loop is blocked, from a thread of their own.

Side: activities; one thread in a process, started by the first attempt. An `async` node that calls `requests`, or computes, keeps the
event loop that sends the heartbeats of all attempts. That is slow, not dead: taken for dead, each attempt on that worker would
be made again, and the node's own block the next worker as well.

Not guaranteed: where one call keeps the interpreter itself. And a loop that is blocked for ever is noticed by nobody but the
time limit of the attempts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import AsyncActivityCancelledError, AsyncActivityHandle
from temporalio.service import RPCError, RPCStatusCode

from perdure.streams.background import BackgroundLoop

__all__ = ["Pulse", "watched"]

_log = logging.getLogger(__name__)

_LOOK_EVERY_SECONDS = 0.25
# Of the time after which the attempt would be taken for dead: the event loop has missed a beat by then, and a second is still in time.
_LATE = 0.5


@dataclass(eq=False)
class Pulse:
    """An attempt. Whoever beats says so, with what the server was told."""

    limit: float
    details: Sequence[Any]
    name: str
    handle: AsyncActivityHandle
    beaten: float = field(default_factory=time.monotonic)
    blocked: bool = False

    def beat(self, details: Sequence[Any]) -> None:
        self.details = details
        self.beaten = time.monotonic()

    async def beat_if_late(self) -> bool:
        """Whether the attempt is still the server's."""
        if time.monotonic() - self.beaten < self.limit * _LATE:
            return True
        self.beaten = time.monotonic()
        if not self.blocked:
            self.blocked = True
            _log.warning(
                "%s: the worker's event loop has been blocked for %.1f s, and so is all that runs on it. Make the node that does it "
                "a plain `def`, which runs in a thread, or have it await asyncio.to_thread(...)",
                self.name,
                self.limit * _LATE,
            )
        try:
            await self.handle.heartbeat(*self.details, rpc_timeout=timedelta(seconds=self.limit * _LATE))
        except AsyncActivityCancelledError:
            pass  # the SDK is told again with the next heartbeat of its own, and cancels the attempt
        except RPCError as error:
            return error.status != RPCStatusCode.NOT_FOUND
        return True


@contextmanager
def watched(details: Sequence[Any]) -> Generator[Pulse | None]:
    """The attempt that this is called in lives on while its event loop is blocked.

    Args:
        details: what the server has of the attempts before it.
    """
    info = activity.info()
    if info.heartbeat_timeout is None:
        yield None
        return
    pulse = Pulse(
        info.heartbeat_timeout.total_seconds(),
        details,
        f"{info.workflow_id} {info.activity_id}",
        activity.client().get_async_activity_handle(task_token=info.task_token),
    )
    _WATCH.add(pulse)
    try:
        yield pulse
    finally:
        _WATCH.remove(pulse)


class _Watch:
    """Adding and removing are single operations of a dict: safe from any thread, and next to free for short attempts."""

    def __init__(self) -> None:
        self._pulses: dict[Pulse, None] = {}
        self._loop = BackgroundLoop("perdure-pulse")
        self._started = False

    def add(self, pulse: Pulse) -> None:
        self._pulses[pulse] = None
        if not self._started:
            self._started = True
            self._loop.run(self._look())

    def remove(self, pulse: Pulse) -> None:
        self._pulses.pop(pulse, None)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            await asyncio.gather(*map(self._beat, tuple(self._pulses)))

    async def _beat(self, pulse: Pulse) -> None:
        try:
            if not await pulse.beat_if_late():
                self.remove(pulse)
        except Exception:  # noqa: BLE001 - one attempt must not end the watch of all
            _log.exception("%s: no heartbeat could be sent while the event loop is blocked", pulse.name)
            self.remove(pulse)


_WATCH = _Watch()
