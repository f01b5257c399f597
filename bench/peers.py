"""Makes the environments in which the contestants other than Perdure and bare Temporal run, each its own.

    python bench/peers.py [NAME ...]

An environment is `.perdure/peers/NAME/`: a venv with that contestant's requirements.txt. A stamp file holds what it was made
of; it is made anew where that changed. Contestants without a requirements.txt run in the project's own environment.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTESTANTS = ROOT / "bench" / "contestants"
ENVIRONMENTS = ROOT / ".perdure" / "peers"
STAMP = "perdure-stamp"


class EnvironmentFailedError(Exception):
    """An environment that could not be made; the message ends with what pip said."""


def names() -> list[str]:
    """The contestants that have an environment of their own."""
    return sorted(path.parent.name for path in CONTESTANTS.glob("*/requirements.txt"))


def program(name: str) -> Path:
    return CONTESTANTS / name / "contestant.py"


def python(name: str) -> Path:
    """The interpreter for a contestant; its environment is made where it is not there, which takes a minute.

    Raises:
        EnvironmentFailedError: it cannot be made; the message tells the reason.
    """
    requirements = CONTESTANTS / name / "requirements.txt"
    if not requirements.exists():
        return Path(sys.executable)
    folder = ENVIRONMENTS / name
    found = folder / "bin" / "python"
    stamp = hashlib.sha256(f"{sys.version}\n{requirements.read_text('utf-8')}".encode()).hexdigest()
    if not (found.exists() and _read(folder / STAMP) == stamp):
        shutil.rmtree(folder, ignore_errors=True)
        _run(name, [sys.executable, "-m", "venv", str(folder)])
        _run(name, [str(found), "-m", "pip", "install", "--quiet", "-r", str(requirements)])
        (folder / STAMP).write_text(stamp)
    return found


def versions(name: str) -> dict[str, str]:
    """What is installed in a contestant's environment: package names and versions, as pip tells them."""
    command = [str(python(name)), "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check"]
    lines = _run(name, command).split()
    return dict(line.split("==", 1) for line in lines if "==" in line)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _run(name: str, command: list[str]) -> str:
    # Whatever this process was started with must not reach into the other environment.
    own = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, capture_output=True, text=True, env=own, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise EnvironmentFailedError(f"No environment for contestant {name!r}: {' | '.join(said[-3:])}")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the environments of the benchmark's contestants.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; without: all")
    failed = 0
    for name in parser.parse_args().names or names():
        try:
            python(name)
            sys.stdout.write(f"{name}: ready\n")
        except EnvironmentFailedError as error:
            failed += 1
            sys.stderr.write(f"{error}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
