"""Measures the cold start: `perdure --help`, and `perdure dev` until its HTTP server answers.

    python bench/cold_start.py [--quick] [--json results.json]

Each in a process of its own, several times; the medians count. `interpreter` is what Python itself takes for nothing, told
beside. `perdure dev` starts in a fresh project folder with one graph, all ports free ones.

| row  | what is measured                                                       | limit  |
|------|--------------------------------------------------------------------------|--------|
| help | from the process's start until `perdure --help` has ended                  | 300 ms |
| dev  | from the process's start until `/ok` of `perdure dev` answers              | 5 s    |
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

HERE = Path(__file__).parent
HELP_SECONDS = 0.3
DEV_SECONDS = 5.0
_PATIENCE_SECONDS = 120
_ADDRESS = re.compile(r"API\s+(http://\S+)")


def seconds_of(command: list[str]) -> tuple[float, float]:
    """Seconds until a command has ended, and of the processor's time."""
    before = os.times()
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - start
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used


def seconds_of_dev(folder: Path) -> tuple[float, float]:
    """Seconds until `perdure dev` answers, and of the processor's time of all its processes."""
    graphs = {"approval": f"{HERE / 'worker_graphs.py'}:approval"}
    (folder / "langgraph.json").write_text(json.dumps({"graphs": graphs, "dependencies": []}))
    ports = ["--port", _free_port(), "--port-temporal", _free_port(), "--ui-port", _free_port()]
    log = folder / "log"
    start = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "perdure.cli", "dev", *ports], cwd=folder, stdout=output, stderr=output
        )
    try:
        while not _answers(log):
            if process.poll() is not None or time.perf_counter() - start > _PATIENCE_SECONDS:
                raise RuntimeError(f"`perdure dev` does not answer: {log.read_text()[-500:]}")
            time.sleep(0.02)
        return time.perf_counter() - start, _processor_time(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _answers(log: Path) -> bool:
    found = _ADDRESS.search(log.read_text())
    if found is None:
        return False
    try:
        return httpx.get(f"{found[1]}/ok", timeout=5).is_success
    except httpx.TransportError:
        return False


def _processor_time(pid: int) -> float:
    main = psutil.Process(pid)
    times = [process.cpu_times() for process in (main, *main.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def measure(options: dict[str, Any]) -> dict[str, Any]:
    """Rows `perdure --help` and `perdure dev`."""
    quick = bool(options.get("quick"))
    nothing, said, started = [], [], []
    command = str(Path(sys.executable).parent / "perdure")
    seconds_of([command, "--help"])  # as often as not, files are in memory
    for _ in range(5 if quick else 11):
        nothing.append(seconds_of([sys.executable, "-c", "pass"]))
        said.append(seconds_of([command, "--help"]))
    for _ in range(1 if quick else 5):
        with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
            started.append(seconds_of_dev(Path(folder)))
    help_row = _row("perdure --help", said, "300 ms", HELP_SECONDS)
    interpreter = median(wall for wall, _ in nothing)
    rows = [
        help_row | {"ratio": help_row["value"] / interpreter},
        _row("perdure dev", started, "5 s", DEV_SECONDS),
    ]
    more = {
        "interpreter_seconds": interpreter,
        "help_seconds": [wall for wall, _ in said],
        "dev_seconds": [wall for wall, _ in started],
    }
    return {"rows": rows, "more": more}


def _row(name: str, taken: list[tuple[float, float]], target: str, limit: float) -> dict[str, Any]:
    seconds = median(wall for wall, _ in taken)
    return {
        "name": name,
        "value": seconds,
        "unit": "s",
        "cpu_seconds": median(cpu for _, cpu in taken),
        "target": target,
        "limit": limit,
        "met": seconds <= limit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer times")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    options = parser.parse_args()
    results = measure({"quick": options.quick})
    for row in results["rows"]:
        verdict = "met" if row["met"] else "MISSED"
        cpu = f"(processor {row['cpu_seconds']:.2f} s)"
        sys.stdout.write(f"{row['name']:16} {row['value']:6.2f} s {cpu}, target {row['target']}: {verdict}\n")
    sys.stdout.write(f"interpreter      {results['more']['interpreter_seconds']:6.2f} s\n")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
