"""Runs the tests that depend on LangGraph with the lowest, a middle and the newest version that Perdure supports.

    python scripts/check_langgraph.py [PYTEST ARGUMENT ...]          # `make check-langgraph`

Each version gets an environment of its own in `.venvs/`, with everything else as in `requirements/dev.lock` where that fits.
The lowest version is tested with the lowest of what it is released together with. Exits with 1 when any of them fails.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = {
    # Before it, the second `interrupt()` of a node had the first one's id, and an old answer would have met a new question.
    "1.2.20": ["langgraph-checkpoint==4.3.0", "langgraph-prebuilt==1.1.0"],
    "1.2.21": [],
    "1.2.22": [],
}
# What is resolved anew for each version; the rest stays as it was locked.
RELATED = re.compile(r"(langgraph|langchain|deepagents|langsmith)\b")
TESTS = ["tests/test_compat.py", "tests/graph", "tests/workflows", "tests/replay", "tests/differential"]


def locked() -> list[str]:
    """The lock's versions, as pip constraints, without those that LangGraph decides."""
    lines = (ROOT / "requirements" / "dev.lock").read_text().splitlines()
    pins = [line.removesuffix(" \\") for line in lines if "==" in line and not line.startswith((" ", "#"))]
    return [pin for pin in pins if not RELATED.match(pin)]


def install(version: str, related: list[str]) -> Path:
    """An environment with that version; its Python."""
    folder = ROOT / ".venvs" / f"langgraph-{version}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(locked()) + "\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    extras = ",".join(project["project"]["optional-dependencies"])
    groups = [groups[name] for name in ("support", "purchase", "faults", "models", "test")]
    needed = sorted({item for group in groups for item in group if isinstance(item, str)})
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wanted = [f"langgraph=={version}", *related, *needed, "hatchling", "editables"]
    subprocess.run([*pip, "-c", str(constraints), *wanted], check=True)
    subprocess.run(
        [*pip, "-c", str(constraints), "--no-build-isolation", "-e", f"{ROOT}[{extras}]"], check=True
    )
    return python


def main(arguments: list[str]) -> int:
    results: dict[str, str] = {}
    for version, related in VERSIONS.items():
        python = install(version, related)
        started = time.monotonic()
        bin_first = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [str(python), "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", *(arguments or TESTS)],
            cwd=ROOT,
            env={**os.environ, "PATH": bin_first},
            check=False,
        )
        results[version] = (
            f"{'passed' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s"
        )
    for version, result in results.items():
        sys.stdout.write(f"langgraph {version}: {result}\n")
    return int(any(result.startswith("FAILED") for result in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
