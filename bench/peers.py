"""Makes the environments in which the contestants other than Perdure and bare Temporal run, each its own.

    python bench/peers.py [NAME ...]

An environment is `.perdure/peers/NAME/`: a venv with that contestant's requirements.txt, which names all that is installed, down
to the last dependency. A stamp file holds what it was made of; it is made anew where that changed. Contestants without a
requirements.txt run in the project's own environment.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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
        _run(name, [sys.executable, "-m", "venv", "--without-pip", str(folder)])
        _run(name, _pip(found, "install", "--quiet", "--no-deps", "-r", str(requirements)))
        (folder / STAMP).write_text(stamp)
    return found


def versions(name: str) -> dict[str, str]:
    """What is installed in a contestant's environment: package names and versions, as pip tells them."""
    lines = _run(name, _pip(python(name), "list", "--format", "freeze")).split()
    return dict(line.split("==", 1) for line in lines if "==" in line)


def _pip(interpreter: Path, *arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(interpreter),
        "--disable-pip-version-check",
        *arguments,
    ]


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
    chosen = parser.parse_args().names or names()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = list(pool.map(_made, chosen))
    return 1 if any(errors) else 0


def _made(name: str) -> bool:
    """Make it and say so; whether that failed."""
    try:
        python(name)
    except EnvironmentFailedError as error:
        sys.stderr.write(f"{error}\n")
        return True
    sys.stdout.write(f"{name}: ready\n")
    return False


if __name__ == "__main__":
    sys.exit(main())
