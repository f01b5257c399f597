"""A worker process that dies where it is told to; `perdure.testing.faults.processes` starts it.

Side: testing, a process of its own. It writes what it does to a file, line by line, so that its death loses none of it.

    python -m perdure.testing.faults.victim CONFIG ADDRESS TASK_QUEUE THREAD NOTES [PLAN]
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

from temporalio.worker import Worker

from perdure.client.connect import connect_temporal
from perdure.graph.effect_index import EffectIndex
from perdure.graph.project import load_project
from perdure.testing.faults.disturbance import Disturbance, FaultPlugin
from perdure.testing.faults.notes import READY, Notes
from perdure.testing.faults.plan import Fault, Plan
from perdure.worker.plugin import PerdurePlugin


async def _work(
    config: str, address: str, task_queue: str, thread_id: str, notes: str, plan: str = ""
) -> None:
    graphs = await load_project(Path(config)).aload()
    record = Notes(Path(notes))

    async def strike(fault: Fault) -> None:
        record.struck(fault)
        if fault.kind.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)

    faults = FaultPlugin()
    effects = EffectIndex(graphs.values())
    faults.current = Disturbance(thread_id, Plan.parse(plan), effects, strike=strike, record=record)
    client = await connect_temporal(address, plugins=[PerdurePlugin(graphs)], wait=timedelta(seconds=30))
    async with Worker(client, task_queue=task_queue, plugins=[faults]):
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_work(*sys.argv[1:]))
