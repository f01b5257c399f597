"""A ten-step graph whose nodes write what they do into a file, and a worker process for it.

python crash_graph.py ADDRESS TASK_QUEUE LEDGER
"""

from __future__ import annotations

import asyncio
import operator
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from langgraph.graph import START, StateGraph
from temporalio.worker import Worker
from typing_extensions import TypedDict

from perdure import PerdurePlugin, durable
from perdure.client.connect import connect_temporal

STEPS = 10
ELSEWHERE = "crash-elsewhere"


class State(TypedDict):
    log: Annotated[list[str], operator.add]
    wait_in: str


def _step(name: str, ledger: Path) -> Any:
    def node(state: State) -> dict[str, Any]:
        with ledger.open("a") as file:
            file.write(f"{name} {os.getpid()} {len(state['log'])}\n")
        if state.get("wait_in") == name:
            # Stays until its process is killed; a second process finds the mark and goes on.
            mark = ledger.with_name("waited")
            if not mark.exists():
                mark.touch()
                time.sleep(60)
        return {"log": [name]}

    return node


def build(ledger: Path, *, elsewhere: str = "") -> Any:
    builder = StateGraph(State)
    names = [f"step{n}" for n in range(STEPS)]
    for name in names:
        place = durable(task_queue=ELSEWHERE) if name == elsewhere else None
        builder.add_node(name, _step(name, ledger), metadata=place)
    builder.add_edge(START, names[0])
    for left, right in pairwise(names):
        builder.add_edge(left, right)
    return builder.compile()


async def main(address: str, task_queue: str, ledger: str, elsewhere: str = "") -> None:
    plugin = PerdurePlugin({"crash": build(Path(ledger), elsewhere=elsewhere)})
    client = await connect_temporal(address, plugins=[plugin])
    async with Worker(client, task_queue=task_queue):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
