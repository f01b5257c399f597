"""What this process takes of its machine, as gauges for a metrics endpoint. Side: cli.

| gauge                            |                                                                    |
|----------------------------------|--------------------------------------------------------------------|
| `perdure_process_cpu_seconds`    | processor time of all its threads since its beginning              |
| `perdure_process_memory_bytes`   | what it holds in memory now; where that is not known, at the most  |
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from datetime import timedelta
from pathlib import Path

from temporalio.common import MetricMeter

__all__ = ["ProcessGauges"]

_STATM = Path("/proc/self/statm")


class ProcessGauges:
    """`run` measures for ever."""

    def __init__(self, meter: MetricMeter, *, every: timedelta = timedelta(seconds=5)) -> None:
        self._every = every
        self._cpu = meter.create_gauge_float("perdure_process_cpu_seconds", "Processor time")
        self._memory = meter.create_gauge("perdure_process_memory_bytes", "Resident memory")

    async def run(self) -> None:
        while True:
            used = resource.getrusage(resource.RUSAGE_SELF)
            self._cpu.set(used.ru_utime + used.ru_stime)
            self._memory.set(_resident(used.ru_maxrss))
            await asyncio.sleep(self._every.total_seconds())


def _resident(most: int) -> int:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return most if sys.platform == "darwin" else most * 1024
