"""Runs the scenarios against `langgraph dev` and keeps what it said in recorded.json.

    python tests/peer/record.py [--environment .perdure/peer] [--check]

The peer gets an environment of its own, made where it is not there; it is no dependency of Perdure. `--check` changes nothing,
and fails where what the peer says is not what was recorded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import peer_graphs  # noqa: E402
from differences import differences  # noqa: E402
from peer_scenarios import told_by  # noqa: E402

RECORD = HERE / "recorded.json"
PEER = "langgraph-cli[inmem]"
TOLD_VERSIONS = ("langgraph", "langgraph-api", "langgraph-cli", "langgraph-runtime-inmem", "langgraph-sdk")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environment", type=Path, default=Path(".perdure/peer"))
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    python = _environment(given.environment.absolute())
    with peer(python, HERE / "peer_graphs.py", peer_graphs.NAMES) as url:
        told = asyncio.run(told_by(url))
    broken = {name: notes[-1] for name, notes in told.items() if notes and notes[-1][0] == "broke off"}
    if broken:
        print(f"broke off: {broken}")
        return 1
    if given.check:
        return _drift(told)
    RECORD.write_text(_text({"versions": _versions(python), "scenarios": told}), "utf-8")
    print(f"{len(told)} scenarios, {sum(map(len, told.values()))} notes: {RECORD}")
    return 0


@contextmanager
def peer(python: Path, module: Path, names: Sequence[str]) -> Iterator[str]:
    """`langgraph dev` with the module's graphs, on loopback; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        graphs = {name: f"{module}:{name}" for name in names}
        Path(folder, "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": graphs}))
        command = [python, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port)]
        quiet = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"}
        with open(Path(folder, "log"), "w") as log:
            process = subprocess.Popen(
                [*command, "--n-jobs-per-worker", "10"],
                cwd=folder,
                env=os.environ | quiet,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait(f"http://127.0.0.1:{port}/ok", process, Path(folder, "log"))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[Any], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.2)
    raise SystemExit(f"langgraph dev did not start:\n{log.read_text()[-2000:]}")


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
    return python


def _versions(python: Path) -> dict[str, str]:
    code = "import sys, importlib.metadata as m; print(*[m.version(n) for n in sys.argv[1:]])"
    told = subprocess.run([python, "-c", code, *TOLD_VERSIONS], check=True, capture_output=True, text=True)
    return dict(zip(TOLD_VERSIONS, told.stdout.split(), strict=True))


def _drift(told: dict[str, Any]) -> int:
    recorded = json.loads(RECORD.read_text("utf-8"))["scenarios"]
    found = [d for name in told for d in differences(name, recorded.get(name, []), told[name])]
    for place, then, now in found:
        print(f"{place}\n    recorded {json.dumps(then)[:200]}\n    now      {json.dumps(now)[:200]}")
    print(f"{len(found)} differences from the record")
    return 1 if found else 0


def _text(record: dict[str, Any]) -> str:
    """A line for each note, so that a change shows in a diff."""
    scenarios = ",\n".join(
        f"  {json.dumps(name)}: [\n" + ",\n".join(f"   {json.dumps(note)}" for note in notes) + "\n  ]"
        for name, notes in record["scenarios"].items()
    )
    return f'{{\n "versions": {json.dumps(record["versions"])},\n "scenarios": {{\n{scenarios}\n }}\n}}\n'


if __name__ == "__main__":
    sys.exit(main())
