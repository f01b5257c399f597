"""Runs contestants: one process per measurement, in turns, each with its time limit.

A failure is a result: it is told with the contestant's own words, and one that failed in its first round is not asked again.
Nothing that a contestant started outlives its measurement.
"""

import contextlib
import importlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.scenarios import FLOOR, OURS, POSTGRES, Rows, Scenario

BENCH = Path(__file__).resolve().parent.parent
# Settings of the person who runs the benchmark reach no contestant: each has its defaults.
_FOREIGN = (
    "PYTHON",
    "TEMPORAL_",
    "PERDURE_",
    "OTEL_",
    "LANGSMITH_",
    "LANGCHAIN_",
    "DBOS_",
    "PG",
    "VIRTUAL_ENV",
)
_ERROR_CHARACTERS = 300
# Seconds for imports, for connecting, and to tell why agents came to no end.
_AROUND = 45
_GRACE = 10
_TIMES_FLOOR, _LEAST_SECONDS = 12, 60

Tell = Callable[[str], None]


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}


def interpreter(name: str) -> str:
    """A contestant's own, made where it is missing. Raises RuntimeError with the reason where it cannot be."""
    if not (BENCH / "contestants" / name / "requirements.txt").exists():
        return sys.executable
    try:
        peers = importlib.import_module("peers")
        return str(peers.python(name))
    except Exception as error:
        raise RuntimeError(f"no environment: {error}") from error


def run(command: Sequence[str], *, folder: Path, limit: int) -> dict[str, Any]:
    """The JSON object in the last line that a program writes; what went wrong as `{"ok": false, "error": ...}`."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        return _failure(f"no result after {limit} s")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    lines = out.strip().splitlines()
    try:
        told = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        said = (err.strip().splitlines() or ["nothing on stderr"])[-1]
        return _failure(f"ended with exit code {process.returncode}: {said}")
    if not told.get("ok", True):
        return _failure(str(told.get("error", "no reason told")))
    return told


def _failure(error: str) -> dict[str, Any]:
    """Without the machine's own paths."""
    for path, name in ((str(BENCH.parent), "."), (tempfile.gettempdir(), "<tmp>"), (str(Path.home()), "~")):
        error = error.replace(path, name)
    return {"ok": False, "error": " ".join(error.split())[:_ERROR_CHARACTERS]}


def measure(
    scenario: str,
    name: str,
    parameters: Mapping[str, int],
    *,
    services: dict[str, str | None],
    seconds: float,
) -> dict[str, Any]:
    """One measurement of one contestant, whose agents have so many seconds."""
    if name in POSTGRES and services["postgres"] is None and name != "dbos":
        return _failure("no PostgreSQL: its initdb is not on the PATH")
    with _scratch() as folder:
        own = {"seconds": seconds, "folder": str(folder), "id": f"{name}-{secrets.token_hex(4)}"}
        given = dict(parameters) | services | own
        program = BENCH / "contestants" / name / "contestant.py"
        if not program.exists():
            return _failure("there is no such contestant")
        try:
            python = interpreter(name)
        except RuntimeError as error:
            return _failure(str(error))
        command = [python, str(program), scenario, json.dumps(given)]
        return run(command, folder=folder, limit=int(seconds) + _AROUND)


def measure_rows(scenario: Rows, options: dict[str, Any]) -> dict[str, Any]:
    """The rows of a module, from a process of its own."""
    with _scratch() as folder:
        given = options | {"folder": str(folder)}
        rows = str(BENCH / "suite" / "rows.py")
        return run(
            [sys.executable, rows, scenario.name, json.dumps(given)], folder=folder, limit=scenario.limit
        )


@contextlib.contextmanager
def _scratch() -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="perdure-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_turns(
    scenario: Scenario,
    names: Sequence[str],
    *,
    parameters: Mapping[str, int],
    rounds: int,
    services: dict[str, str | None],
    tell: Tell,
) -> dict[str, list[dict[str, Any]]]:
    """All measurements of a scenario, in rounds of rotating order. A round of a contestant that took no part is `{}`."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    end = time.monotonic() + scenario.budget
    for number in range(rounds):
        if number and time.monotonic() > end:
            tell(f"{scenario.name}: no time for more than {number} rounds")
            break
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            failed = any(not result["ok"] for result in results[name] if result)
            out = number >= scenario.peer_rounds and name not in (FLOOR, OURS)
            result = {}
            if not (failed or out):
                seconds = _seconds(scenario, results.get(FLOOR, []))
                result = measure(scenario.name, name, parameters, services=services, seconds=seconds)
            results[name].append(result)
            if result:
                tell(f"{scenario.name} {number + 1}/{rounds} {name}: {_told(result)}")
    return results


def _seconds(scenario: Scenario, floor: Sequence[dict[str, Any]]) -> float:
    """Enough on a slow machine, and not for ever."""
    took = next((told["wall_seconds"] for told in floor if told and told["ok"]), None)
    return scenario.limit if took is None else max(_LEAST_SECONDS, _TIMES_FLOOR * took)


def _told(result: dict[str, Any]) -> str:
    if not result["ok"]:
        return f"failed: {result['error']}"
    return f"{result['wall_seconds']:.2f} s, {1000 * result['cpu_seconds'] / result['steps']:.1f} ms of processor a step"
