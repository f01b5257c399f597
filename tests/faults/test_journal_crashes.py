"""A worker is killed within a node, between two model calls: what was answered is not paid again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perdure.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.devserver import DevServer

pytestmark = pytest.mark.xdist_group("crashes")
QUEUE = "journal"
WAYS = ("sync", "async")


@contextmanager
def worker(server: DevServer, folder: Path) -> Generator[subprocess.Popen[str]]:
    program = Path(__file__).with_name("journal_worker.py")
    process = subprocess.Popen(
        [sys.executable, str(program), server.address, QUEUE, str(folder)],
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


async def test_a_worker_killed_between_two_model_calls(tmp_path: Path) -> None:
    async with DevServer(directory=tmp_path / "temporal", port=None, ui_port=None, http_port=None) as server:
        client = PerdureClient(await connect_temporal(server.address), task_queue=QUEUE)
        with worker(server, tmp_path) as first:
            runs = [await client.start(way, {"said": []}) for way in WAYS]
            deadline = time.monotonic() + 60
            while not all((tmp_path / f"{way}-waits").exists() for way in WAYS):
                assert time.monotonic() < deadline, "the nodes never came to wait"
                await asyncio.sleep(0.001)
            first.kill()  # at once: no heartbeat of its own has passed since the second answer
            first.wait()
        with worker(server, tmp_path) as second:
            for run, way in zip(runs, WAYS, strict=True):
                assert (await run.result())["said"] == [f"answer to question{n}" for n in range(3)]
                usage = (await run.state()).usage
                assert usage is not None
                assert usage["run"]["models"]["CountingModel"]["calls"] == 3
                assert usage["run"]["input_tokens"] == 30
                calls = [line.split() for line in (tmp_path / f"{way}-calls").read_text().splitlines()]
                assert calls == [
                    ["question0", str(first.pid)],
                    ["question1", str(first.pid)],
                    ["question2", str(second.pid)],
                ]
