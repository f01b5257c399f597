"""An entrypoint with ten tasks in a row and ten at a time, each of which writes what it does into a file, and a worker
process for it.

python crash_tasks.py ADDRESS TASK_QUEUE LEDGER
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from langgraph.func import entrypoint, task
from temporalio.worker import Worker

from perdure import PerdurePlugin
from perdure.client.connect import connect_temporal

TASKS = 10


def note(ledger: str, what: str) -> None:
    with Path(ledger).open("a") as file:
        file.write(f"{what} {os.getpid()}\n")


def wait_once(ledger: str, name: str) -> None:
    """Stays until its process is killed; a second process finds the mark and goes on."""
    mark = Path(ledger).with_name(f"waited-{name}")
    if not mark.exists():
        mark.touch()
        time.sleep(60)


@task
def work(ledger: str, number: int, wait: bool) -> int:
    note(ledger, f"begin{number}")
    if wait:
        wait_once(ledger, "task")
    note(ledger, f"end{number}")
    return number


@task
async def awork(ledger: str, number: int, wait: bool) -> int:
    note(ledger, f"begin{number}")
    if wait:
        await asyncio.to_thread(wait_once, ledger, "task")
    note(ledger, f"end{number}")
    return number


@entrypoint()
def row(given: dict[str, Any]) -> list[int]:
    note(given["ledger"], "entrypoint")
    done: list[int] = []
    for number in range(TASKS):
        if given["between"] == number:
            wait_once(given["ledger"], "entrypoint")
        done.append(work(given["ledger"], number, given["inside"] == number).result())
    return done


@entrypoint()
async def crowd(given: dict[str, Any]) -> list[int]:
    note(given["ledger"], "entrypoint")
    return await asyncio.gather(
        *(awork(given["ledger"], number, given["inside"] == number) for number in range(TASKS))
    )


GRAPHS = {"row": row, "crowd": crowd}


async def main(address: str, task_queue: str) -> None:
    client = await connect_temporal(address, plugins=[PerdurePlugin(GRAPHS)])
    async with Worker(client, task_queue=task_queue):
        print("ready", flush=True)
        await asyncio.Event().wait()


async def replay_history(path: str, thread_id: str) -> None:
    from perdure.testing.histories import replay

    await replay(Path(path).read_text(), GRAPHS, thread_id=thread_id)  # noqa: ASYNC240 - a script
    print("replayed")


if __name__ == "__main__":
    asyncio.run(replay_history(*sys.argv[2:]) if sys.argv[1] == "--replay" else main(*sys.argv[1:]))
