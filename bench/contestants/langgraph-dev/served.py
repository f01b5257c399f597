"""The graphs that `langgraph dev` serves; the server keeps threads and checkpoints itself, in memory."""

import mmap
import os
import struct
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

import agents
import protocol


class SharedClock(protocol.Clock):
    """Tells the measuring process when nodes were called, in memory of both: the server lets no node write to files."""

    def __init__(self, path: str) -> None:
        super().__init__()
        with open(path, "r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 0)
        self._next = 0

    def tick(self) -> None:
        struct.pack_into("d", self._shared, self._next, time.perf_counter())
        self._next += 8


agents.CLOCK = SharedClock(os.environ["BENCH_TICKS"])

steps = agents.steps().compile()
branches = agents.branches().compile()
