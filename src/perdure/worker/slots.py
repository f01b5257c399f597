"""How much a worker takes on at a time. Of workflow tasks fewer where a thread is to be replayed; of activities as many as it is told,
not counting attempts that wait for their tasks.

Side: worker. Temporal's core calls slot suppliers from several threads, `reserve_slot` from the event loop alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from temporalio.worker import (
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    PollerBehaviorSimpleMaximum,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    WorkerConfig,
    WorkerTuner,
)

from perdure.activities.lending import Lending

__all__ = ["lend_slots"]

_DEFAULT = 100  # Temporal's own
# With 8, a hundred short agents take a tenth longer; with 100, they are no faster.
_WORKFLOW_TASKS = 16
# Beside these, for threads that are not in memory. All share one interpreter: each of N that replay at once takes N times as long, up to
# 0.8 s for the 175 steps after which a thread continues as new, and one that takes 5 s is taken for lost and made again. With 16,
# a worker that takes over 20 such threads at once makes no step for 20 s.
_COLD_TASKS = 4
# While the server writes that a task begins, its poll brings nothing else: with 5 a worker that has much to do waits for them.
_POLLS = 10
_DEFAULT_POLLS = PollerBehaviorSimpleMaximum(5)  # Temporal's own


def lend_slots(config: WorkerConfig, lending: Lending | None) -> None:
    """Set how much a worker takes on. What the user has set is left as it is.

    Args:
        lending: how many attempts wait for their tasks; None where none ever does. What knows of it costs some 0.5 ms of processor
            time for each attempt: the core's threads wait for the interpreter.
    """
    if config.get("workflow_task_poller_behavior") == _DEFAULT_POLLS:
        config["workflow_task_poller_behavior"] = PollerBehaviorSimpleMaximum(_POLLS)
    if config.get("tuner") is not None:
        return
    tasks = config.pop("max_concurrent_workflow_tasks", None) or _WORKFLOW_TASKS
    activities = config.pop("max_concurrent_activities", None) or _DEFAULT
    local_activities = config.pop("max_concurrent_local_activities", None) or _DEFAULT
    config["tuner"] = WorkerTuner.create_composite(
        workflow_supplier=WorkflowSlots(tasks, min(tasks, _COLD_TASKS)),
        activity_supplier=ActivitySlots(activities, lending)
        if lending
        else FixedSizeSlotSupplier(activities),
        local_activity_supplier=FixedSizeSlotSupplier(local_activities),
        nexus_supplier=FixedSizeSlotSupplier(config.pop("max_concurrent_nexus_tasks", None) or _DEFAULT),
    )


class ActivitySlots(CustomSlotSupplier):
    """`size` slots, and one more for each attempt that waits. When it goes on, it may be one too many for a while."""

    def __init__(self, size: int, lending: Lending) -> None:
        self._places = _Places(lambda: size + lending.count)
        lending.listen(self._places.hand_out)

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        await self._places.take()
        return SlotPermit()

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        return SlotPermit() if self._places.take_now() else None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        pass

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        self._places.free()


class WorkflowSlots(CustomSlotSupplier):
    """`size` slots for threads that the worker has in memory, and `cold` for those that it has not: these are replayed."""

    def __init__(self, size: int, cold: int) -> None:
        self._warm = _Places(lambda: size)
        self._cold = _Places(lambda: cold)

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        places = self._of(ctx)
        await places.take()
        return _Permit(places)

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        places = self._of(ctx)
        return _Permit(places) if places.take_now() else None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        pass

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        assert isinstance(ctx.permit, _Permit)
        ctx.permit.places.free()

    def _of(self, ctx: SlotReserveContext) -> _Places:
        return self._warm if ctx.is_sticky else self._cold


class _Places:
    """So many at a time, in order. `take` is called from an event loop, all else from any thread."""

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._used = 0
        self._lock = threading.Lock()
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        if self.take_now():
            return
        turn = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append(turn)
        self.hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            self._give_up(turn)
            raise

    def take_now(self) -> bool:
        with self._lock:
            if self._waiting or self._used >= self._size():
                return False
            self._used += 1
        return True

    def free(self) -> None:
        with self._lock:
            self._used -= 1
        self.hand_out()

    def hand_out(self) -> None:
        """To those that wait, as far as there are any."""
        with self._lock:
            while self._waiting and self._used < self._size():
                turn = self._waiting.popleft()
                loop = turn.get_loop()
                if loop.is_closed():
                    continue
                self._used += 1
                loop.call_soon_threadsafe(self._hand, turn)

    def _hand(self, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self.free()
        else:
            turn.set_result(None)

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return
        # Handed out already. Cancelled before `_hand` saw it, that frees it; after it, nobody else will.
        if not turn.cancelled():
            self.free()


class _Permit(SlotPermit):
    def __init__(self, places: _Places) -> None:
        self.places = places
