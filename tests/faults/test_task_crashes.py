"""Workers die in a task, between two tasks, in the middle of many; no finished task is run again.

Real processes, SIGKILL, and a ledger file that the tasks write.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from crash_tasks import TASKS
from temporalio.api.enums.v1 import EventType

from perdure.client import PerdureClient, RunHandle
from perdure.client.connect import connect_temporal
from perdure.devserver import DevServer

pytestmark = pytest.mark.xdist_group("crashes")
QUEUE = "crash-tasks"
SCRIPT = str(Path(__file__).with_name("crash_tasks.py"))
ALL = list(range(TASKS))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[DevServer]:
    async with DevServer(directory=tmp_path / "temporal", port=None, ui_port=None, http_port=None) as server:
        yield server


@contextmanager
def worker(server: DevServer) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, SCRIPT, server.address, QUEUE], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


async def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def noted(ledger: Path) -> Counter[str]:
    return (
        Counter(line.split()[0] for line in ledger.read_text().splitlines()) if ledger.exists() else Counter()
    )


async def start(
    server: DevServer, graph: str, ledger: Path, *, inside: int = -1, between: int = -1
) -> RunHandle:
    client = PerdureClient(await connect_temporal(server.address), task_queue=QUEUE)
    given = {"ledger": str(ledger), "inside": inside, "between": between}
    return await client.start(graph, given, thread_id="t")


async def finished_tasks(run: RunHandle) -> int:
    history = await run.handle.fetch_history()
    return sum(e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED for e in history.events)


async def until_finished(run: RunHandle, count: int) -> None:
    async with asyncio.timeout(60):
        while await finished_tasks(run) < count:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.05)


def replay_elsewhere(history: Path) -> None:
    replayed = subprocess.run(
        [sys.executable, SCRIPT, "--replay", str(history), "t"],
        env={**os.environ, "PYTHONHASHSEED": "4242"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert replayed.stdout == "replayed\n", replayed.stderr[-3000:]


async def test_a_worker_killed_inside_a_task(server: DevServer, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with worker(server) as first:
        run = await start(server, "row", ledger, inside=5)
        await until(lambda: (tmp_path / "waited-task").exists())
        first.send_signal(signal.SIGKILL)
        first.wait()
    with worker(server):
        assert await run.result() == ALL
    seen = noted(ledger)
    assert [seen[f"end{n}"] for n in ALL] == [1] * TASKS
    assert [seen[f"begin{n}"] for n in ALL] == [1 + (n == 5) for n in ALL]
    assert seen["entrypoint"] == 2


async def test_a_worker_killed_between_two_tasks(server: DevServer, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with worker(server) as first:
        run = await start(server, "row", ledger, between=6)
        await until(lambda: (tmp_path / "waited-entrypoint").exists())
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert await finished_tasks(run) == 6
    with worker(server):
        assert await run.result() == ALL
    assert noted(ledger) == {f"{what}{n}": 1 for what in ("begin", "end") for n in ALL} | {"entrypoint": 2}


async def test_a_worker_killed_in_the_middle_of_many_tasks(server: DevServer, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with worker(server) as first:
        run = await start(server, "crowd", ledger, inside=7)
        await until(lambda: sum(count for name, count in noted(ledger).items() if "end" in name) == TASKS - 1)
        await until_finished(run, TASKS - 1)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with worker(server):
        assert await run.result() == ALL
    seen = noted(ledger)
    assert [seen[f"begin{n}"] for n in ALL] == [1 + (n == 7) for n in ALL]
    history = tmp_path / "history.json"
    history.write_text((await run.handle.fetch_history()).to_json())
    await asyncio.to_thread(replay_elsewhere, history)


async def test_two_workers_share_the_tasks_and_one_dies(server: DevServer, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with worker(server) as one, worker(server) as other:
        run = await start(server, "row", ledger)
        await until(lambda: noted(ledger)["end3"] == 1)
        lines = [line.split() for line in ledger.read_text().splitlines()]
        [body] = [int(pid) for what, pid in lines if what == "entrypoint"]
        (one if one.pid == body else other).send_signal(signal.SIGKILL)
        assert await run.result() == ALL
    assert noted(ledger)["entrypoint"] == 2
