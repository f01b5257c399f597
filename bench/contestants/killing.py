"""A contestant's process is killed with SIGKILL in the middle of an agent; another one goes on.

The agent lives in a process of its own (`contestant.py live`), which notes each call of a node in a file. When `kill_at` calls
are noted it is killed, and another one started at once, which does what a user of that package has to do: nothing, where the
package itself finds what was left (it only waits), else the call that resumes a thread. So three times in one run, which must
end with all its messages. Like bench/kill.py it tells the time until the next call of a node, from when the new process is
ready (its database is open, its worker polls) and from its start, which has Python's imports in it.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import median
from typing import Any

SECONDS = 240.0
KILLS = 3
BETWEEN_KILLS = 75
_READY = b"ready "


async def live(opened: Callable[[Any], AbstractAsyncContextManager[Any]], given: Any, agent: Any) -> Any:
    """In the process that is killed, and in those that go on."""
    async with opened(given) as stack:
        sys.stderr.write(f"\nready {time.perf_counter()}\n")
        sys.stderr.flush()
        found = await (stack.resume(agent) if given["again"] else stack.run(agent))
    return {"ok": True, "messages": found}


class Life:
    """One process, from `began` on; `ready` when it says so."""

    def __init__(self, process: asyncio.subprocess.Process, began: float) -> None:
        self.process, self.began = process, began
        self.ready: float | None = None
        self._said: list[str] = []
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, given: dict[str, Any]) -> "Life":
        began = time.perf_counter()
        command = (sys.executable, sys.argv[0], "live", json.dumps(given))
        return cls(await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1), began)

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            if line.startswith(_READY):
                self.ready = float(line.split()[1])
            elif line.strip():
                self._said = [*self._said[-20:], line.decode().strip()]

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._listening

    async def result(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        said = await self.process.stdout.read()
        if not said.strip():
            raise RuntimeError(f"the process ended without a result: {self.last_words()}")
        return json.loads(said)

    def fail_if_over(self) -> None:
        if self.process.returncode is not None:
            raise RuntimeError(f"the process has ended: {self.last_words()}")

    def last_words(self) -> str:
        return self._said[-1] if self._said else "nothing on its stderr"


async def kill(given: dict[str, Any]) -> dict[str, Any]:
    """`wall_seconds`: median from ready to the next node call; the rest is in `more`."""
    notes = Path(given["folder"], "notes")
    await asyncio.to_thread(notes.touch)
    given = given | {"notes": str(notes), "again": False}
    until = time.perf_counter() + given.get("seconds", SECONDS)
    took: list[dict[str, float]] = []
    life = await Life.start(given)
    try:
        for number in range(KILLS):
            await _noted(notes, given["kill_at"] + number * BETWEEN_KILLS, life, until)
            await life.kill()
            calls = len(_times(notes))
            life = await Life.start(given | {"again": True})
            first = (await _noted(notes, calls + 1, life, until))[calls]
            ready = life.ready or first
            took.append({"from_ready": max(0.0, first - ready), "from_start": first - life.began})
        async with asyncio.timeout(until - time.perf_counter()):
            result = await life.result()
    finally:
        await life.kill()
    if result.get("messages") != given["steps"]:
        raise AssertionError(f"the agent ended with {result} instead of {given['steps']} messages")
    return {
        "ok": True,
        "wall_seconds": median(one["from_ready"] for one in took),
        "cpu_seconds": time.process_time() + os.times().children_user + os.times().children_system,
        "steps": given["steps"],
        "more": {
            "from_start_seconds": median(one["from_start"] for one in took),
            "slowest_seconds": max(one["from_ready"] for one in took),
            "kills": KILLS,
            "calls_repeated": len(_times(notes)) - given["steps"],
        },
    }


def _times(notes: Path) -> list[float]:
    return [float(line) for line in notes.read_text().split("\n")[:-1]]


async def _noted(notes: Path, calls: int, life: Life, until: float) -> list[float]:
    """The times of all calls, once there are so many."""
    while len(found := _times(notes)) < calls:
        life.fail_if_over()
        if time.perf_counter() > until:
            raise TimeoutError(f"no node call number {calls} in time: {life.last_words()}")
        await asyncio.sleep(0.005)
    return found
