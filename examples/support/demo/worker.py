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
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    Worker,
    WorkerTuner,
)

from perdure import PerdurePlugin
from perdure.contract.names import DEFAULT_TASK_QUEUE
from perdure.errors import PerdureError
from perdure.graph.project import load_project
from support.errors import Refused
from support.model import chat_model, describe
from support.settings import Settings

PROJECT = Path(__file__).parents[1]


class FirstSteps(CustomSlotSupplier):
    """Slots for the first `count` activities of a worker's life. A slot that was used does not come back."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        await self._free.acquire()
        return SlotPermit()

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        return None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        pass

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        if ctx.slot_info is None:
            self._free.release()


async def work(address: str, steps: int | None) -> None:
    """Work until killed."""
    settings = Settings.from_env()
    chat_model(settings.model)  # a model that cannot work should be said now, not in the second step
    graphs = await load_project(PROJECT).aload()
    client = await Client.connect(address, plugins=[PerdurePlugin(graphs)])
    limits: dict[str, Any] = {} if steps is None else {"tuner": _tuner(steps)}
    async with Worker(client, task_queue=DEFAULT_TASK_QUEUE, **limits):
        print(json.dumps({"model": describe(settings)}), flush=True)
        await asyncio.Event().wait()


def _tuner(steps: int) -> WorkerTuner:
    return WorkerTuner.create_composite(
        workflow_supplier=FixedSizeSlotSupplier(10),
        activity_supplier=FirstSteps(steps),
        local_activity_supplier=FixedSizeSlotSupplier(1),
        nexus_supplier=FixedSizeSlotSupplier(1),
    )


def _die_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m support.demo.worker", description=__doc__)
    parser.add_argument("--address", required=True, help="Temporal's host:port")
    parser.add_argument("--steps", type=int, help="take this many steps and no more")
    options = parser.parse_args()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        asyncio.run(work(options.address, options.steps))
    except (PerdureError, Refused) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
