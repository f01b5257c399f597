"""The machine and the versions that numbers belong to. No names of hosts, people or folders."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_OURS = ("temporalio", "langgraph", "langchain-core")
_TOLD = re.compile(
    r"^(temporalio-langgraph|langgraph-temporal|langgraph-cli|langgraph-api|langgraph-checkpoint-\w+|dbos)"
    r"(?:\[[^\]]*\])?==([^\s;]+)",
    re.MULTILINE,
)


def machine(requirements: Sequence[Path], **servers: str) -> dict[str, Any]:
    """`requirements`: files of the contestants' environments. `servers`: versions by name, empty ones left out."""
    versions = {name: version(name) for name in _OURS}
    for file in requirements:
        versions |= dict(_TOLD.findall(file.read_text()))
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        "system": f"{platform.system()} {platform.release().partition('-')[0]} ({platform.machine()})",
        "python": platform.python_version(),
        "versions": versions | {name: told for name, told in servers.items() if told},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)):
        return found[1]
    return platform.processor() or "unknown processor"
