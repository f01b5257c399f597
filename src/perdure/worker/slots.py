"""How much a worker takes on at a time. Of activities as many as it is told, not counting attempts that wait for their tasks.

Side: worker.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

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
# They share one interpreter: each of N that replay at once takes N times as long, some 0.2 to 0.5 s for 170 steps, and one that
# takes 5 s is taken for lost and made again. With 8, a hundred short agents take a tenth longer; with 100, they are no faster.
_WORKFLOW_TASKS = 16
# While the server writes that a task begins, its poll brings nothing else: with 5 a worker that has much to do waits for them.
_POLLS = 10
_DEFAULT_POLLS = PollerBehaviorSimpleMaximum(5)  # Temporal's own


def lend_slots(config: WorkerConfig, lending: Lending) -> None:
    """Change a worker's limits into ones that know of `lending`. What the user has set is left as it is."""
    if config.get("workflow_task_poller_behavior") == _DEFAULT_POLLS:
        config["workflow_task_poller_behavior"] = PollerBehaviorSimpleMaximum(_POLLS)
    if config.get("tuner") is not None:
        return
    config["tuner"] = WorkerTuner.create_composite(
        workflow_supplier=FixedSizeSlotSupplier(
            config.pop("max_concurrent_workflow_tasks", None) or _WORKFLOW_TASKS
        ),
        activity_supplier=ActivitySlots(config.pop("max_concurrent_activities", None) or _DEFAULT, lending),
        local_activity_supplier=FixedSizeSlotSupplier(
            config.pop("max_concurrent_local_activities", None) or _DEFAULT
        ),
        nexus_supplier=FixedSizeSlotSupplier(config.pop("max_concurrent_nexus_tasks", None) or _DEFAULT),
    )


class ActivitySlots(CustomSlotSupplier):
    """`size` slots, and one more for each attempt that waits. When it goes on, it may be one too many for a while.

    Temporal's core calls it from several threads, `reserve_slot` from the event loop alone.
    """

    def __init__(self, size: int, lending: Lending) -> None:
        self._size = size
        self._lending = lending
        self._used = 0
        self._lock = threading.Lock()
        self._waiting: deque[asyncio.Future[None]] = deque()
        lending.listen(self._hand_out)

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        turn = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            self._give_up(turn)
            raise
        return SlotPermit()

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        with self._lock:
            if self._waiting or not self._is_free():
                return None
            self._used += 1
        return SlotPermit()

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        pass

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        with self._lock:
            self._used -= 1
        self._hand_out()

    def _is_free(self) -> bool:
        return self._used < self._size + self._lending.count

    def _hand_out(self) -> None:
        with self._lock:
            while self._waiting and self._is_free():
                turn = self._waiting.popleft()
                loop = turn.get_loop()
                if loop.is_closed():
                    continue
                self._used += 1
                loop.call_soon_threadsafe(self._take, turn)

    def _take(self, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self._free()
        else:
            turn.set_result(None)

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return
        # Handed out already. Cancelled before `_take` saw it, that frees it; after it, nobody else will.
        if not turn.cancelled():
            self._free()

    def _free(self) -> None:
        with self._lock:
            self._used -= 1
        self._hand_out()
