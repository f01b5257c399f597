"""SIDE EFFECTS: the demo's worker, a process of its own so that it can be killed.

It runs the graphs of `langgraph.json`, as `perdure worker` does. With `--steps N` it takes N steps in its life
and no more: the next one stays in Temporal's queue, and a kill hits exactly between two steps every time.

When it is ready it prints one JSON line with `model`. Its log is its standard error. It dies with its parent, however
that dies: then its standard input is closed.
"""

import argparse
import asyncio
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import (
    ActivityInboundInterceptor,
    CustomSlotSupplier,
    ExecuteActivityInput,
    FixedSizeSlotSupplier,
    Interceptor,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    Worker,
    WorkerTuner,
)

from perdure import PerdurePlugin
from perdure.errors import PerdureError
from perdure.graph.project import load_project
from support.errors import Refused
from support.model import chat_model, describe
from support.settings import Settings

PROJECT = Path(__file__).parents[1]


class FirstSteps(CustomSlotSupplier, Interceptor):
    """Slots for the first `count` steps of a worker's life. A slot comes back only when its attempt has failed."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._loop = asyncio.get_running_loop()

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        await self._free.acquire()
        return SlotPermit()

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        return None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        pass

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        if ctx.slot_info is None:
            self.give_back()

    def give_back(self) -> None:
        """Let one more attempt run. Temporal calls from threads of its own."""
        self._loop.call_soon_threadsafe(self._free.release)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _FailureGivesBack(next, self)


class _FailureGivesBack(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, steps: FirstSteps) -> None:
        super().__init__(next)
        self._steps = steps

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except BaseException:
            self._steps.give_back()
            raise


async def work(address: str, task_queue: str, steps: int | None) -> None:
    """Work until killed."""
    settings = Settings.from_env()
    chat_model(settings.model)  # a model that cannot work should be said now, not in the second step
    graphs = await load_project(PROJECT).aload()
    client = await Client.connect(address, plugins=[PerdurePlugin(graphs)])
    limits: dict[str, Any] = {} if steps is None else _limits(FirstSteps(steps))
    async with Worker(client, task_queue=task_queue, **limits):
        print(json.dumps({"model": describe(settings)}), flush=True)
        await asyncio.Event().wait()


def _limits(first: FirstSteps) -> dict[str, Any]:
    tuner = WorkerTuner.create_composite(
        workflow_supplier=FixedSizeSlotSupplier(10),
        activity_supplier=first,
        local_activity_supplier=FixedSizeSlotSupplier(1),
        nexus_supplier=FixedSizeSlotSupplier(1),
    )
    return {"tuner": tuner, "interceptors": [first]}


def _die_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m support.demo.worker", description=__doc__)
    parser.add_argument("--address", required=True, help="Temporal's host:port")
    parser.add_argument("--task-queue", required=True)
    parser.add_argument("--steps", type=int, help="take this many steps and no more")
    options = parser.parse_args()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        asyncio.run(work(options.address, options.task_queue, options.steps))
    except (PerdureError, Refused) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
