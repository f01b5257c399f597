"""Measures recovery: a worker process is killed with SIGKILL in the middle of a run, and another one started at once.

    python bench/kill.py [--quick] [--threads N] [--json results.json]

One run of 1,000 steps of 256 bytes; `perdure worker` with its defaults beside a bare Temporal worker with its own (a loop of
hand-written activities with the same heartbeat limit). The first kill is at step 500, others follow in the same run. What
counts is the time from when the new worker polls (and from its process's start) until a node call of it begins.

| case     | when the worker was killed                                                                          |
|----------|-----------------------------------------------------------------------------------------------------|
| between  | it had nothing in hand: Temporal has all there is to do as soon as the worker polls                   |
| deciding | a workflow task was under way: Temporal takes it for lost after its time limit, 5 s (bare: 10 s)       |
| running  | a node call was under way: Temporal takes it for lost when no heartbeat has come for 5 s, and the retry
             policy has the next attempt wait                                                                    |

`--threads N`: also so many threads at once, killed when each has made some 150 steps: how long until each has made its next,
and how many workflow tasks have timed out meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

from servers import dev_server  # noqa: E402
from temporalio.api.enums.v1 import EventType, PendingActivityState, PendingWorkflowTaskState  # noqa: E402
from temporalio.client import Client, WorkflowHandle  # noqa: E402
from worker_process import QUEUE, Place, WorkerProcess  # noqa: E402

from perdure.client import PerdureClient  # noqa: E402
from perdure.client.handle import RunHandle  # noqa: E402
from perdure.devserver import DevServer  # noqa: E402

BYTES = 256
TARGET_SECONDS = 2.0
CONTESTANTS = ("bare", "perdure")
CASES = ("between", "deciding", "running")


class Killing:
    """One run, whose worker is killed again and again."""

    def __init__(self, place: Place, client: Client, name: str) -> None:
        self.place = place
        self.client = client
        self.name = name
        self.recoveries: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}

    async def run(self, steps: int, kills: list[int], hang: int) -> None:
        """Kill at these steps, at `hang` while its node call is under way; and see the run to its end."""
        worker = await self._spawn()
        try:
            handle, ended = await self._start(steps)
            for step in [*kills, hang]:
                if step == hang:
                    self.place.hang_file.write_text(str(step))
                await self.place.note_of(step=str(step), seconds=600)
                worker = await self._kill(worker, handle)
            assert await ended == steps, "the run did not end as the graph says"
            made = {int(note.step) for note in self.place.notes()}
            assert made == set(range(1, steps + 1)), "not all steps were made"
        finally:
            await worker.kill()

    async def _spawn(self) -> WorkerProcess:
        return await self.place.spawn(bare=self.name == "bare")

    async def _start(self, steps: int) -> tuple[WorkflowHandle[Any, Any], asyncio.Task[Any]]:
        if self.name == "bare":
            handle = await self.client.start_workflow(
                "Steps", args=[steps, BYTES], id="bare", task_queue=QUEUE
            )
            return handle, asyncio.create_task(handle.result())
        run = await PerdureClient(self.client, task_queue=QUEUE).start(
            "steps",
            {"messages": [], "step": 0, "steps": steps, "bytes": BYTES},
            thread_id="perdure",
            config={"recursion_limit": steps + 10},
        )

        async def result() -> int:
            return (await run.result())["step"]

        return run.handle, asyncio.create_task(result())

    async def _kill(self, worker: WorkerProcess, handle: WorkflowHandle[Any, Any]) -> WorkerProcess:
        worker.freeze()
        # What the frozen worker had already sent arrives.
        await asyncio.sleep(0.1)
        case = _case((await handle.describe()).raw_description)
        await worker.kill()
        fresh = await self._spawn()
        note = await self.place.note_of(pid=fresh.pid)
        took = {"from_ready": note.time - fresh.ready, "from_start": note.time - fresh.began}
        self.recoveries[case].append(took)
        return fresh


def _case(found: Any) -> str:
    """What the worker was at, as the server knows it."""
    running = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    if any(activity.state == running for activity in found.pending_activities):
        return "running"
    deciding = PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
    return "deciding" if found.pending_workflow_task.state == deciding else "between"


async def measure_kills(server: DevServer, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    steps = 200 if options.get("quick") else 1000
    kills = [steps // 2, steps // 2 + 25] if options.get("quick") else [500, 600, 700]
    told: dict[str, Any] = {}
    for name in CONTESTANTS:
        place = _place(folder / name, server)
        killing = Killing(place, await place.connect(), name)
        # Of the floor one of each kind is enough: it waits for its time limits, which are known.
        at = kills[:1] if name == "bare" else kills
        await killing.run(steps, at, hang=at[-1] + 25)
        told[name] = killing.recoveries
    return told


async def measure_many(server: DevServer, folder: Path, threads: int, depth: int = 150) -> dict[str, Any]:
    """All threads' next steps after one kill."""
    place = _place(folder, server)
    perdure = PerdureClient(await place.connect(), task_queue=QUEUE)
    worker = await place.spawn()
    try:
        state = {"messages": [], "step": 0, "steps": 1000, "bytes": BYTES}
        runs = [
            await perdure.start("steps", state, thread_id=f"many-{n}", config={"recursion_limit": 1010})
            for n in range(threads)
        ]
        while len(place.notes()) < threads * depth:  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.5)
        await worker.kill()
        worker = await place.spawn()
        cpu = worker.cpu_seconds
        gone_on = await _all_go_on(place, worker, threads)
        return {
            "threads": threads,
            "depth": depth,
            "first_seconds": gone_on[0],
            "median_seconds": median(gone_on),
            "last_seconds": gone_on[-1],
            "cpu_seconds": worker.cpu_seconds - cpu,
            "timeouts": sum([await _timeouts(run, worker.began) for run in runs]),
        }
    finally:
        await worker.kill()


async def _all_go_on(place: Place, worker: WorkerProcess, threads: int, seconds: float = 300) -> list[float]:
    """Seconds from the worker's readiness until each thread's first step there, in order."""
    first: dict[str, float] = {}
    async with asyncio.timeout(seconds):
        while len(first) < threads:
            await asyncio.sleep(0.5)
            for note in place.notes():
                if note.pid == worker.pid:
                    first.setdefault(note.thread, note.time - worker.ready)
    return sorted(first.values())


async def _timeouts(run: RunHandle, since: float) -> int:
    timed_out = EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT
    return len(
        [
            event
            async for event in run.handle.fetch_history_events()
            if event.event_type == timed_out and event.event_time.ToMilliseconds() / 1000 > since
        ]
    )


def _place(folder: Path, server: DevServer) -> Place:
    folder.mkdir()
    return Place(folder, server.address)


async def measure(options: dict[str, Any]) -> dict[str, Any]:
    """Rows `next step, CASE, CONTESTANT`, the medians; and `many threads`, where they are asked for."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as name:
        folder = Path(name)
        async with dev_server(folder / "temporal") as server:
            more: dict[str, Any] = await measure_kills(server, folder, options)
            for contestant, cases in more.items():
                rows += [_row(contestant, case, found) for case, found in cases.items() if found]
            if threads := options.get("threads"):
                more["many"] = await measure_many(server, folder / "many", threads)
                row = {
                    "name": f"all of {threads} threads",
                    "value": more["many"]["last_seconds"],
                    "unit": "s",
                }
                rows.append(row)
    return {"rows": rows, "more": more}


def _row(contestant: str, case: str, found: list[dict[str, float]]) -> dict[str, Any]:
    seconds = median(took["from_ready"] for took in found)
    row = {
        "name": f"next step, {case}, {contestant}",
        "value": seconds,
        "unit": "s",
        "from_start": median(took["from_start"] for took in found),
        "slowest": max(took["from_ready"] for took in found),
        "kills": len(found),
    }
    if contestant == "perdure":
        row |= {"target": "2 s", "limit": TARGET_SECONDS, "met": seconds <= TARGET_SECONDS}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="200 steps, two kills")
    parser.add_argument("--threads", type=int, default=0, help="also so many at once")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    options = parser.parse_args()
    results = asyncio.run(measure({"quick": options.quick, "threads": options.threads}))
    for row in results["rows"]:
        verdict = {None: "", True: "met", False: "MISSED"}[row.get("met")]
        since = f"(from the process's start {row['from_start']:.2f})" if "from_start" in row else ""
        sys.stdout.write(f"{row['name']:32} {row['value']:6.2f} s {since} {verdict}\n")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
