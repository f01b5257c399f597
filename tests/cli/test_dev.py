"""`perdure dev` and `perdure worker` as processes: they start, mend, and end together."""

from __future__ import annotations

import asyncio
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from perdure.devserver import DevServer, running

pytestmark = pytest.mark.xdist_group("cli")

WriteProject = Callable[..., Path]


class Process:
    """A `perdure` process whose stderr is read line by line."""

    def __init__(self, folder: Path, env: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "perdure.cli", *arguments]
        self.popen = subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
        self.lines: queue.Queue[str] = queue.Queue()
        self.told: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.told.append(line)
            self.lines.put(line)

    def until(self, text: str) -> str:
        while text not in (line := self.lines.get(timeout=60)):
            pass
        return line

    def below(self) -> list[psutil.Process]:
        return psutil.Process(self.popen.pid).children(recursive=True)

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        self._reader.join()


@contextmanager
def process(folder: Path, env: dict[str, str], *arguments: str) -> Iterator[Process]:
    started = Process(folder, env, *arguments)
    try:
        yield started
    finally:
        started.close()


def all_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def test_dev_starts_everything_restarts_its_worker_and_ends_everything(
    tmp_path: Path, write_project: WriteProject, env: dict[str, str]
) -> None:
    folder = write_project(tmp_path)
    with process(folder, env, "dev") as dev:
        dev.until("Web UI")
        dev.until("worker ready: asking, failing, parallel, plain")
        below = dev.below()
        [worker] = [p for p in below if "worker" in p.cmdline()]

        run = [sys.executable, "-m", "perdure.cli", "run", "plain", '{"text": "x"}', "--json"]
        done = subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True)
        assert json.loads(done.stdout)["log"] == ["wrote x"], done.stderr

        worker.kill()
        dev.until("the worker has ended (SIGKILL); starting it again")
        dev.until("worker ready")

        dev.popen.send_signal(signal.SIGINT)
        assert dev.popen.wait(timeout=30) == 0
        assert all_gone(below)
        assert running(folder / ".perdure") is None


def test_dev_waits_for_a_graph_that_does_not_load_to_be_mended(
    tmp_path: Path, write_project: WriteProject, env: dict[str, str]
) -> None:
    folder = write_project(tmp_path, {"g": "./agent.py:plain"}, "import nothing_like_this")
    with process(folder, env, "dev", "--in-memory") as dev:
        assert "agent.py:1: ModuleNotFoundError" in dev.until("error:")
        dev.until("as soon as a file of the project changes")
        write_project(tmp_path, {"g": "./agent.py:plain"})
        dev.until("worker ready: g")
        assert len([line for line in dev.told if "rror" in line]) == 1
        assert not any("Traceback" in line for line in dev.told)
        below = dev.below()
        dev.popen.kill()
        assert all_gone(below)


@pytest.mark.parametrize(
    ("program", "stops", "code", "told"),
    [
        ("touch begun; exec sleep 600", True, 130, []),
        (
            "echo unknown flag >&2; exit 1",
            False,
            2,
            ["error: Temporal's dev server ended before it was ready"],
        ),
    ],
)
def test_dev_whose_server_does_not_come_says_so_once_and_leaves_nothing(
    tmp_path: Path,
    write_project: WriteProject,
    env: dict[str, str],
    program: str,
    stops: bool,
    code: int,
    told: list[str],
) -> None:
    folder = write_project(tmp_path)
    binary = folder / "temporal"
    binary.write_text(f"#!/bin/sh\n{program}\n")
    binary.chmod(0o755)
    with process(folder, {**env, "PERDURE_TEMPORAL_BIN": str(binary)}, "dev") as dev:
        if stops:
            until(lambda: (folder / "begun").exists())
            assert living_in(folder, but=dev.popen.pid)
            dev.popen.send_signal(signal.SIGINT)
        assert dev.popen.wait(timeout=60) == code
        until(lambda: not living_in(folder))
    assert [line[: len(start)] for line, start in zip(dev.told, told, strict=True)] == told


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def living_in(folder: Path, *, but: int = 0) -> list[psutil.Process]:
    """Processes that work in the folder."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, FileNotFoundError):
            if process.pid != but and process.cwd() == str(folder):
                found.append(process)
    return found


def test_a_worker_may_be_started_before_its_server(
    tmp_path: Path, write_project: WriteProject, env: dict[str, str]
) -> None:
    folder = write_project(tmp_path / "project")
    settings = {"port": None, "ui_port": None, "http_port": None, "in_memory": True}

    async def address_of_a_stopped_server() -> str:
        async with DevServer(directory=tmp_path / "server", **settings) as server:  # type: ignore[arg-type]
            return server.address

    address = asyncio.run(address_of_a_stopped_server())
    with process(folder, env, "worker", "--address", address) as worker:
        worker.until(f"no Temporal server answers at {address} yet; waiting")

        async def serve() -> None:
            port = int(address.rpartition(":")[2])
            async with DevServer(directory=tmp_path / "server", **{**settings, "port": port}):  # type: ignore[arg-type]
                await asyncio.to_thread(worker.until, "worker ready")
                worker.popen.terminate()
                assert await asyncio.to_thread(worker.popen.wait, 30) == 0

        asyncio.run(serve())
