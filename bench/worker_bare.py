"""The floor: a worker of bare Temporal with its defaults, whose workflow is a hand-written loop; see bench/kill.py."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from text import text
    from worker_notes import work


@activity.defn
def step(number: int, size: int) -> str:
    work(number, activity.info().workflow_id or "")
    return text(number, size)


@workflow.defn
class Steps:
    @workflow.run
    async def run(self, steps: int, size: int) -> int:
        messages: list[str] = []
        while len(messages) < steps:
            made = await workflow.execute_activity(
                step,
                args=[len(messages) + 1, size],
                start_to_close_timeout=timedelta(minutes=10),
                heartbeat_timeout=timedelta(seconds=5),
            )
            messages.append(made)
        return len(messages)


async def main(address: str, queue: str) -> None:
    client = await Client.connect(address)
    with ThreadPoolExecutor(64) as threads:
        worker = Worker(
            client, task_queue=queue, workflows=[Steps], activities=[step], activity_executor=threads
        )
        running = asyncio.create_task(worker.run())
        while not worker.is_running:  # noqa: ASYNC110 - the SDK has no event for it
            await asyncio.sleep(0.01)
        sys.stderr.write("worker ready\n")
        await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
