"""The agents as hand-written DBOS workflows: each message is a step of its own, stored before the next."""

import asyncio

from dbos import DBOS
from protocol import CLOCK, text


@DBOS.step()
async def work(seed: int, size: int) -> str:
    CLOCK.tick()
    return text(seed, size)


@DBOS.workflow()
async def converse(seed: int, steps: int, size: int) -> list[str]:
    return [await work(seed + step, size) for step in range(1, steps + 1)]


@DBOS.workflow()
async def fan_out(seed: int, branches: int, size: int) -> list[str]:
    # DBOS numbers steps as they are started; gather starts them in order.
    return await asyncio.gather(*(work(seed + n, size) for n in range(branches)))
