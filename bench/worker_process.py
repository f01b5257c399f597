"""Worker processes that can be killed: `perdure worker` with the graphs of bench/worker_graphs.py, or bare Temporal's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from temporalio.client import Client

from perdure.client.connect import connect_temporal
from perdure.worker.plugin import PerdurePlugin

HERE = Path(__file__).parent
QUEUE = "bench"
_READY = b"worker ready"


@dataclass(frozen=True)
class Note:
    """What a node call told: when, in which process, at which step of which thread."""

    time: float
    pid: int
    step: str
    thread: str


class Place:
    """A folder with a dev server, a project for `perdure worker`, and the notes of its nodes."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        self.notes_file = folder / "notes"
        self.notes_file.touch()
        self.hang_file = folder / "hang"
        self.payloads = (folder / "payloads").as_uri()
        graphs = HERE / "worker_graphs.py"
        config = {"graphs": {name: f"{graphs}:{name}" for name in ("steps", "approval")}, "dependencies": []}
        (folder / "langgraph.json").write_text(json.dumps(config))

    def notes(self) -> list[Note]:
        lines = [line.split(" ") for line in self.notes_file.read_text().splitlines()]
        return [Note(float(at), int(pid), step, thread) for at, pid, step, thread in lines]

    async def note_of(self, *, pid: int | None = None, step: str | None = None, seconds: float = 120) -> Note:
        """Wait for the first note of a process, or of a step."""
        async with asyncio.timeout(seconds):
            while True:
                for found in self.notes():
                    if pid in (None, found.pid) and step in (None, found.step):
                        return found
                await asyncio.sleep(0.005)

    async def connect(self) -> Client:
        return await connect_temporal(self.address, plugins=[PerdurePlugin(payloads=self.payloads)])

    async def spawn(self, *, bare: bool = False) -> WorkerProcess:
        """Start a worker; it is there when it says that it polls."""
        arguments = ("--config", self.folder, "--address", self.address, "--task-queue", QUEUE, "worker")
        command = (
            (HERE / "worker_bare.py", self.address, QUEUE) if bare else ("-m", "perdure.cli", *arguments)
        )
        environment = {"BENCH_NOTES": str(self.notes_file), "BENCH_HANG": str(self.hang_file)}
        payloads = {"PERDURE_PAYLOADS": self.payloads}
        began = time.time()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *map(str, command),
            env={**os.environ, **environment, **payloads},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        return WorkerProcess(process, began, await _ready(process))


async def _ready(process: asyncio.subprocess.Process) -> float:
    assert process.stderr is not None
    said: list[bytes] = []
    while line := await process.stderr.readline():
        if _READY in line:
            ready = time.time()
            asyncio.create_task(process.stderr.read())  # noqa: RUF006 - so that the pipe does not fill up
            return ready
        said.append(line)
    raise RuntimeError(f"the worker has ended: {b''.join(said[-5:]).decode()}")


@dataclass
class WorkerProcess:
    """`began` and `ready`: seconds since the epoch."""

    process: asyncio.subprocess.Process
    began: float
    ready: float

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def memory_bytes(self) -> int:
        return psutil.Process(self.pid).memory_info().rss

    @property
    def cpu_seconds(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    async def kill(self) -> None:
        """With SIGKILL, also when it is frozen."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
