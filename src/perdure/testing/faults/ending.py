"""Driving a run to its end: answering what it asks by the script, and telling how it ended.

Side: testing. Invariant: it returns within the limit, whatever the run does; a run that has not ended by then is `stuck`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from perdure.client import RunHandle
from perdure.contract.thread import PendingInterrupt
from perdure.errors import InterruptUnknown, RunCancelled, RunFailed
from perdure.testing.faults.disturbance import Disturbance, Strike

__all__ = ["Ending", "drive"]

Status = Literal["completed", "failed", "cancelled", "waiting", "stuck"]

_POLL = timedelta(milliseconds=20)
_CLOSED = {"type": "close", "reason": "seen to by the fault exploration"}


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    `waiting`: it asks what the script of decisions has no answer for; `asked` is what. `to_undo` are the keys of the effects
    that a person was asked to undo (the run went on when told that it was seen to), `in_doubt` the names of those of which a
    person was asked whether they happened.
    """

    thread_id: str
    status: Status
    result: Any = None
    failure: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    asked: tuple[Any, ...] = ()
    to_undo: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()


class _Driver:
    def __init__(
        self,
        run: RunHandle,
        disturbance: Disturbance,
        decisions: Sequence[Any],
        rejection: Any,
        strike: Strike,
    ) -> None:
        self._run = run
        self._disturbance = disturbance
        self._script = list(decisions)
        self._rejection = rejection
        self._strike = strike
        self._to_undo: list[str] = []
        self._in_doubt: list[str] = []

    async def drive(self, limit: timedelta) -> Ending:
        try:
            async with asyncio.timeout(limit.total_seconds()):
                return await self._drive()
        except TimeoutError:
            return self._ending("stuck", failure=f"has not ended within {limit.total_seconds():g} s")

    async def _drive(self) -> Ending:
        try:
            while True:
                try:
                    ending = await self._go_on()
                except RPCError:
                    ending = None  # its worker, or the server, is being exchanged
                if ending is not None:
                    return ending
                await asyncio.sleep(_POLL.total_seconds())
        except RunCancelled as error:
            return self._ending("cancelled", failure=str(error), details=error.details)
        except RunFailed as error:
            return self._ending("failed", failure=str(error), details=error.details)

    async def _go_on(self) -> Ending | None:
        """Wait until the run rests, and answer what it asks; its end, if that is it. Raises RunFailed when it failed."""
        if waiting := await self._run.wait_for_approvals(poll=_POLL):
            left = await self._answer(waiting)
            return None if left is None else self._ending("waiting", asked=left)
        if (await self._run.handle.describe()).status != WorkflowExecutionStatus.COMPLETED:
            return None
        return self._ending("completed", result=await self._run.result())

    async def _answer(self, waiting: Sequence[PendingInterrupt]) -> tuple[Any, ...] | None:
        """Answer one question; what is asked, when the script has no answer."""
        for item in waiting:
            match item.value:
                case {"effect": str(), "options": ["retry", "close"]}:
                    self._to_undo.append(item.id)
                    await self._resume(item, _CLOSED)
                    return None
                case {"effect": str(name), "options": ["retry", "happened", "fail"]}:
                    self._in_doubt.append(name)
                    await self._resume(item, "fail")
                    return None
                case _:
                    pass
        if not self._script:
            return tuple(item.value for item in waiting)
        await self._decide(waiting[0], self._script.pop(0))
        return None

    async def _decide(self, item: PendingInterrupt, answer: Any) -> None:
        place = self._disturbance.next_place("decision")
        if self._disturbance.due(place, "reject"):
            answer = self._rejection
        if (fault := self._disturbance.due(place, "before")) is not None:
            await self._strike(fault)
        await self._resume(item, answer)
        if (fault := self._disturbance.due(place, "after")) is not None:
            await self._strike(fault)

    async def _resume(self, item: PendingInterrupt, answer: Any) -> None:
        while True:
            try:
                await self._run.resume({item.id: answer})
            except InterruptUnknown:
                return  # the run was cancelled meanwhile, the deadline has answered, or the answer had got through
            except RPCError:
                await asyncio.sleep(_POLL.total_seconds())
            else:
                return

    def _ending(
        self,
        status: Status,
        *,
        result: Any = None,
        failure: str = "",
        details: Any = None,
        asked: tuple[Any, ...] = (),
    ) -> Ending:
        return Ending(
            self._run.thread_id,
            status,
            result=result,
            failure=failure,
            details=details if isinstance(details, Mapping) else {},
            asked=asked,
            to_undo=tuple(dict.fromkeys(self._to_undo)),
            in_doubt=tuple(self._in_doubt),
        )


async def drive(
    run: RunHandle,
    disturbance: Disturbance,
    *,
    decisions: Sequence[Any],
    rejection: Any,
    strike: Strike,
    limit: timedelta,
) -> Ending:
    """Take the run to its end. Questions are answered one at a time, in the order of the script; what a person would be
    asked about effects is answered so that the run ends."""
    return await _Driver(run, disturbance, decisions, rejection, strike).drive(limit)
