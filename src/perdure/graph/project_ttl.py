"""How long threads stay that nobody uses: `checkpointer.ttl` of `langgraph.json`. Side: both.

    {"checkpointer": {"ttl": {"strategy": "delete", "default_ttl": 43200}}}

In minutes. `sweep_interval_minutes` is taken and says nothing: each thread has a timer of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perdure.contract.thread import TtlStrategy
from perdure.errors import ConfigError

__all__ = ["ThreadTtl", "thread_ttl"]


@dataclass(frozen=True)
class ThreadTtl:
    """`ttl` in minutes, from the end of the latest run."""

    ttl: float
    strategy: TtlStrategy = "delete"


def thread_ttl(checkpointer: Any, where: str) -> ThreadTtl | None:
    """From the section `checkpointer`; `None` where it says nothing. Raises ConfigError."""
    section: Any = checkpointer.get("ttl") if isinstance(checkpointer, dict) else None
    if section is None:
        return None
    minutes: Any = section.get("default_ttl") if isinstance(section, dict) else None
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes < 1e8:
        raise ConfigError(
            f"{where}: 'checkpointer.ttl.default_ttl' must be minutes above zero, not {minutes!r}"
        )
    strategy: Any = section.get("strategy", "delete")
    if strategy not in ("delete", "keep_latest"):
        raise ConfigError(
            f"{where}: 'checkpointer.ttl.strategy' must be 'delete' or 'keep_latest', not {strategy!r}"
        )
    return ThreadTtl(minutes, strategy)
