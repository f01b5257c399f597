"""Measures threads that wait for a decision: what each costs the worker, and how soon a decided one goes on.

    python bench/waiting.py [--threads 3000] [--decisions 180] [--rate 5] [--json results.json]

`perdure worker` in a process of its own with its defaults, which keep 500 threads in memory. The graph asks (`interrupt`) in
its first node; the second one tells when it begins.

| row      | what is measured                                                                                       | limit  |
|----------|--------------------------------------------------------------------------------------------------------|--------|
| memory   | growth of the worker's resident memory from half the threads to all of them, by thread: its cache is
              full at both, so that these threads are in Temporal alone                                           | 2 KB   |
| decision | 99th percentile of the time from sending a decision until the next node call begins; `--rate` decisions
              are sent a second, in turn to the thread that began last and to the one that began first            | 500 ms |
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

from servers import dev_server  # noqa: E402
from text import text  # noqa: E402
from worker_process import QUEUE, Place, WorkerProcess  # noqa: E402

from perdure.client import PerdureClient  # noqa: E402
from perdure.contract import names  # noqa: E402

CACHE = 500
MEMORY_BYTES = 2048
DECISION_SECONDS = 0.5
AT_A_TIME = 32
_SETTLE_SECONDS = 3


async def wait(client: PerdureClient, first: int, last: int) -> None:
    """Start these threads, and wait until all wait for a decision."""
    turns = asyncio.Semaphore(AT_A_TIME)

    async def start(number: int) -> None:
        async with turns:
            given = {"messages": [("user", text(number, 256))]}
            await client.start("approval", given, thread_id=f"waiting-{number}")

    await asyncio.gather(*(start(number) for number in range(first, last)))
    # Not by asking each: what is asked of a thread has it replayed, and kept in memory.
    asking = f"{names.SEARCH_STATUS} = 'interrupted'"
    while (await client.temporal.count_workflows(asking)).count < last:  # noqa: ASYNC110 - visibility has no event
        await asyncio.sleep(0.5)


async def memory(client: PerdureClient, worker: WorkerProcess, threads: int) -> dict[str, Any]:
    """Resident bytes of the worker with more and more waiting threads."""
    marks = sorted({0, CACHE, threads // 2, threads * 3 // 4, threads})
    resident = {0: worker.memory_bytes}
    for first, last in pairwise(marks):
        await wait(client, first, last)
        await asyncio.sleep(_SETTLE_SECONDS)
        resident[last] = worker.memory_bytes
    half = threads // 2
    return {
        "resident_bytes": resident,
        "bytes_per_thread": (resident[threads] - resident[half]) / (threads - half),
        "cached_bytes_per_thread": (resident[CACHE] - resident[0]) / CACHE,
    }


async def decisions(
    client: PerdureClient, place: Place, worker: WorkerProcess, threads: int, count: int, rate: float
) -> dict[str, Any]:
    """Seconds until the next node call, for threads that are in the worker's memory and for others."""
    sent: dict[str, float] = {}
    cpu = worker.cpu_seconds
    cached = [f"waiting-{number}" for number in range(threads - 1, threads - 1 - count // 2, -1)]
    others = [f"waiting-{number}" for number in range(count - count // 2)]
    order = [thread for pair in zip(others, cached, strict=False) for thread in pair]

    async def decide(thread: str) -> None:
        sent[thread] = time.time()
        await client.resume(thread, "approve")

    began = time.monotonic()
    deciding: list[asyncio.Task[None]] = []
    for number, thread in enumerate(order):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        deciding.append(asyncio.create_task(decide(thread)))
    await asyncio.gather(*deciding)
    async with asyncio.timeout(60):
        while len(notes := place.notes()) < len(order):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.1)
    took = {note.thread: note.time - sent[note.thread] for note in notes}
    return {
        "rate": rate,
        "count": len(order),
        "cpu_seconds_each": (worker.cpu_seconds - cpu) / len(order),
        "all": _spread(list(took.values())),
        "cached": _spread([took[thread] for thread in cached if thread in took]),
        "others": _spread([took[thread] for thread in others if thread in took]),
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    return {
        "median_seconds": median(seconds),
        "p99_seconds": quantiles(seconds, n=100, method="inclusive")[98],
        "slowest_seconds": max(seconds),
    }


async def measure(options: dict[str, Any]) -> dict[str, Any]:
    """Rows `memory` and `decision`."""
    quick = bool(options.get("quick"))
    threads = options.get("threads") or (1200 if quick else 3000)
    count, rate = options.get("decisions") or (100 if quick else 180), options.get("rate") or 5
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as name:
        folder = Path(name)
        async with dev_server(folder / "temporal") as server:
            place = Place(folder, server.address)
            client = PerdureClient(await place.connect(), task_queue=QUEUE)
            worker = await place.spawn()
            try:
                more: dict[str, Any] = {"memory": await memory(client, worker, threads)}
                more["decision"] = await decisions(client, place, worker, threads, count, rate)
            finally:
                await worker.kill()
    size, delay = more["memory"]["bytes_per_thread"], more["decision"]["all"]["p99_seconds"]
    rows = [
        {
            "name": f"memory of each of {threads} waiting threads beyond the cache",
            "value": size / 1024,
            "unit": "KB",
            "target": "2 KB",
            "limit": MEMORY_BYTES / 1024,
            "met": size <= MEMORY_BYTES,
        },
        {
            "name": f"decision to next step, p99 of {more['decision']['count']} at {rate} a second",
            "value": delay * 1000,
            "unit": "ms",
            "target": "500 ms",
            "limit": DECISION_SECONDS * 1000,
            "met": delay <= DECISION_SECONDS,
        },
    ]
    return {"rows": rows, "more": more}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=3000, help="that wait")
    parser.add_argument("--decisions", type=int, default=180)
    parser.add_argument("--rate", type=float, default=5, help="decisions a second")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    options = parser.parse_args()
    results = asyncio.run(measure(vars(options)))
    for row in results["rows"]:
        verdict = "met" if row["met"] else "MISSED"
        sys.stdout.write(f"{row['name']}: {row['value']:.2f} {row['unit']}  {verdict}\n")
    sys.stdout.write(json.dumps(results["more"], indent=2) + "\n")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
