"""One run of a scenario, with the faults of a plan, on a worker of this process.

Side: testing. Invariant: each run has its own thread and its own world, which is open until the run is judged.
"""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from temporalio.service import RPCError

from perdure.client import PerdureClient
from perdure.errors import PerdureError
from perdure.graph.effect_index import EffectIndex
from perdure.testing.faults.checks import Violation
from perdure.testing.faults.disturbance import Disturbance
from perdure.testing.faults.ending import Ending, drive
from perdure.testing.faults.exploration import Trial
from perdure.testing.faults.plan import Fault, Plan
from perdure.testing.faults.session import Session

__all__ = ["Oracle", "Scenario", "World", "judge", "nowhere"]

W = TypeVar("W")

World = Callable[[], AbstractAsyncContextManager[W]]
Oracle = Callable[[W, Ending], Iterable[str | Violation] | Awaitable[Iterable[str | Violation]]]


@asynccontextmanager
async def nowhere() -> AsyncGenerator[Any]:
    """The world of a graph that needs none."""
    yield None


async def judge(oracle: Oracle[W] | None, world: W, ending: Ending) -> list[Violation]:
    """What the oracle says is wrong."""
    if oracle is None:
        return []
    told = oracle(world, ending)
    if inspect.isawaitable(told):
        told = await told
    return [item if isinstance(item, Violation) else Violation("wrong", item) for item in told]


@dataclass(frozen=True)
class Scenario(Generic[W]):
    """What is run each time. `options` are of `PerdureClient.start`."""

    name: str
    input: Any
    decisions: Sequence[Any]
    rejection: Any
    world: World[W]
    oracle: Oracle[W] | None
    limit: timedelta
    options: Mapping[str, Any]

    async def run(self, session: Session, plan: Plan, effects: EffectIndex) -> Trial:
        """One run, on a session's worker."""
        thread_id = f"{self.name}-{uuid.uuid4().hex[:12]}"
        restarts: list[asyncio.Task[None]] = []

        async def strike(fault: Fault) -> None:
            if fault.kind.startswith("cancel"):
                await _cancel(session.client, thread_id)
            elif fault.kind.startswith("restart"):
                # Not awaited: what asks for it may be what the worker has to get rid of.
                restarts.append(asyncio.create_task(session.restart()))

        disturbance = Disturbance(thread_id, plan, effects, strike=strike)
        session.faults.current = disturbance
        began = time.monotonic()
        async with self.world() as world:
            run = await session.client.start(self.name, self.input, thread_id=thread_id, **self.options)
            ending = await drive(
                run,
                disturbance,
                decisions=self.decisions,
                rejection=self.rejection,
                strike=strike,
                limit=self.limit,
            )
            await asyncio.gather(*restarts)
            found = [Violation("wrong", problem) for problem in await session.problems(thread_id)]
            if ending.status in ("waiting", "stuck"):
                await run.handle.terminate("the fault exploration has seen enough")
            found += await judge(self.oracle, world, ending)
        took = timedelta(seconds=time.monotonic() - began)
        return Trial(plan, ending, disturbance.record, tuple(found), missed=bool(disturbance.left), took=took)


async def _cancel(client: PerdureClient, thread_id: str) -> None:
    try:
        await client.cancel(thread_id)
    except (RPCError, PerdureError):
        pass  # it has ended just now
