"""Processes die: workers in and between steps, the Temporal server in the middle of a run.

Real processes, SIGKILL, and a ledger file that the nodes write; the run must end right with no finished step repeated.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from crash_graph import ELSEWHERE, STEPS, build
from temporalio.api.enums.v1 import EventType
from temporalio.worker import Worker

from perdure import PerdurePlugin
from perdure.client import PerdureClient, RunHandle
from perdure.client.connect import connect_temporal
from perdure.devserver import DevServer

pytestmark = pytest.mark.xdist_group("crashes")
QUEUE = "crash"
ALL = [f"step{n}" for n in range(STEPS)]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[DevServer]:
    async with DevServer(directory=tmp_path / "temporal", port=None, ui_port=None, http_port=None) as server:
        yield server


@contextmanager
def worker(
    server: DevServer, ledger: Path, *, queue: str = QUEUE, elsewhere: str = ""
) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("crash_graph.py")),
            server.address,
            queue,
            str(ledger),
            elsewhere,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


async def until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def lines(ledger: Path) -> list[list[str]]:
    return [line.split() for line in ledger.read_text().splitlines()] if ledger.exists() else []


async def start(server: DevServer, **state: Any) -> RunHandle:
    client = PerdureClient(await connect_temporal(server.address), task_queue=QUEUE)
    return await client.start("crash", {"log": [], "wait_in": "", **state}, thread_id="t")


async def completed_nodes(run: RunHandle) -> list[str]:
    history = await run.handle.fetch_history()
    scheduled = {
        e.event_id: e.activity_task_scheduled_event_attributes.activity_id.partition(":")[0]
        for e in history.events
        if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    }
    return [
        scheduled[e.activity_task_completed_event_attributes.scheduled_event_id]
        for e in history.events
        if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    ]


async def test_a_worker_killed_between_steps(server: DevServer, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with worker(server, ledger) as first:
        run = await start(server)
        await until(lambda: len(lines(ledger)) >= 4)
        first.send_signal(signal.SIGKILL)
        first.wait()
    done_before = await completed_nodes(run)
    assert 0 < len(done_before) < STEPS
    with worker(server, ledger):
        assert (await run.result())["log"] == ALL
    assert await completed_nodes(run) == ALL
    ran = [name for name, _, _ in lines(ledger)]
    assert [name for name in ran if name in done_before] == done_before, "a finished step ran again"


async def test_a_worker_killed_inside_a_step(server: DevServer, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with worker(server, ledger) as first:
        run = await start(server, wait_in="step5")
        await until(lambda: (tmp_path / "waited").exists())
        first.send_signal(signal.SIGKILL)
        first.wait()
    with worker(server, ledger):
        assert (await run.result())["log"] == ALL
    ran = [name for name, _, _ in lines(ledger)]
    assert ran == [*ALL[:6], *ALL[5:]], "only the step that was under way is run again"


async def test_the_temporal_server_restarted_in_the_middle_of_a_run(
    server: DevServer, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    with worker(server, ledger):
        run = await start(server)
        await until(lambda: len(lines(ledger)) >= 3)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.restart()
        assert (await run.result())["log"] == ALL
    assert await completed_nodes(run) == ALL


async def test_two_processes_share_one_run_and_the_input_is_fetched_by_query(
    server: DevServer, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    with (
        worker(server, ledger, elsewhere="step4") as one,
        worker(server, ledger, queue=ELSEWHERE, elsewhere="step4") as other,
    ):
        # Incompressible and larger than one page of a query's answer.
        run = await start(server, log=[base64.b64encode(random.Random(0).randbytes(1_200_000)).decode()])
        result = await run.result()
    assert result["log"][1:] == ALL
    pids = {name: int(pid) for name, pid, _ in lines(ledger)}
    assert pids["step4"] == other.pid
    assert {pid for name, pid in pids.items() if name != "step4"} == {one.pid}
    assert [int(seen) for _, _, seen in lines(ledger)] == list(range(1, STEPS + 1))


async def test_a_worker_that_keeps_no_inputs_asks_the_workflow_for_each(
    server: DevServer, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    plugin = PerdurePlugin({"crash": build(ledger)}, live_inputs=0)
    client = await connect_temporal(server.address, plugins=[plugin])
    async with Worker(client, task_queue=QUEUE, max_cached_workflows=0):
        run = await start(server)
        assert (await run.result())["log"] == ALL
    assert [int(seen) for _, _, seen in lines(ledger)] == list(range(STEPS))
