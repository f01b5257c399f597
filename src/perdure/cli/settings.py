"""What every command takes from the command line. Side: cli. Imports nothing heavy: `perdure --help` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["FAILED", "OK", "USAGE", "WAITING", "Reconcile", "Settings"]

OK = 0
FAILED = 1
"""The run failed, or the doctor found something wrong."""
USAGE = 2
"""What was asked cannot be done: usage, configuration, nothing reachable, nothing of that name."""
WAITING = 3
"""The run is alive and waits for a decision."""

Reconcile = Literal["report", "compensate", "off"]
"""What a worker does about threads that were stopped from outside and owe compensation."""


@dataclass(frozen=True)
class Settings:
    """The global options. `None`: not given, so the environment, a profile or the project's dev server decides."""

    config: Path | None = None
    address: str | None = None
    namespace: str | None = None
    profile: str | None = None
    task_queue: str = "perdure"
    debug: bool = False
