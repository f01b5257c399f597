"""The floor: what a person would write by hand on Temporal, with its defaults (sandbox, converter, worker).

An activity per step gets the number of its step and returns one message; the workflow keeps the list. Nothing else of an agent
is here: no routing, no state that others can read, no types, no limits.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

# Without resolve(), which the sandbox forbids.
sys.path.append(str(Path(__file__).parents[1]))
with workflow.unsafe.imports_passed_through():
    from protocol import CLOCK, Agent, Stack, main, text
    from temporal_stack import TemporalStack

LIMIT = timedelta(minutes=1)


@activity.defn
async def work(number: int, size: int) -> dict[str, str]:
    CLOCK.tick()
    return {"role": "ai", "content": text(number, size)}


@workflow.defn
class Loop:
    @workflow.run
    async def run(self, agent: Agent) -> list[dict[str, str]]:
        return [
            await workflow.execute_activity(
                work, args=[agent.seed + step, agent.bytes], start_to_close_timeout=LIMIT
            )
            for step in range(agent.steps)
        ]


@workflow.defn
class FanOut:
    @workflow.run
    async def run(self, agent: Agent) -> list[dict[str, str]]:
        calls = [
            workflow.execute_activity(
                work, args=[agent.seed + number, agent.bytes], start_to_close_timeout=LIMIT
            )
            for number in range(agent.branches)
        ]
        return list(await asyncio.gather(*calls))


class BareStack(TemporalStack):
    def __init__(self, client: Client, queue: str) -> None:
        super().__init__(client)
        self._queue = queue

    async def run(self, agent: Agent) -> int:
        definition = FanOut if agent.branches else Loop
        result = await self.client.execute_workflow(
            definition.run, agent, id=agent.key, task_queue=self._queue
        )
        return len(result)


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncGenerator[Stack]:
    client = await Client.connect(given["temporal"])
    async with Worker(client, task_queue=given["id"], workflows=[Loop, FanOut], activities=[work]):
        yield BareStack(client, given["id"])


if __name__ == "__main__":
    main(opened)
