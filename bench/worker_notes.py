"""What the node calls of killed and waiting workers tell: a line in a file. Of the standard library alone.

The environment says where (`BENCH_NOTES`), and which file names a step that stays until its process is killed (`BENCH_HANG`).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def note(step: Any, thread: str) -> None:
    """One line of what a node call has to tell."""
    line = f"{time.time()} {os.getpid()} {step} {thread}"
    with Path(os.environ["BENCH_NOTES"]).open("a") as file:
        file.write(f"{line}\n")


def work(step: int, thread: str) -> None:
    """What is told of a step when it begins; one of them may stay."""
    note(step, thread)
    hang = Path(os.environ.get("BENCH_HANG", ""))
    if hang.is_file() and hang.read_text() == str(step):
        hang.unlink()
        time.sleep(600)
