"""The limits of a project, out of the "perdure" section of its `langgraph.json` or a command line. Side: both.

    "perdure": {
        "budget": {"tokens": 200000, "money": 1.5, "wall_time_seconds": 600, "on_exhausted": "ask"},
        "thread_budget": {"money": 20},
        "deadline_seconds": 86400,
        "approval_timeout_seconds": null,
        "rate_limits": {"gpt-4o": {"requests": 60, "tokens": 90000, "per_seconds": 60}}
    }

`null` as the time of approvals is: for ever. Unknown keys are refused: a misspelt limit would be none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, cast

from perdure.contract.budget import Budget
from perdure.contract.limits import FOR_EVER, RateLimit, RunLimits
from perdure.errors import ConfigError

__all__ = ["ProjectLimits", "read_budget", "read_limits"]

_BUDGETS = ("budget", "thread_budget")
_TIMES = ("deadline_seconds", "approval_timeout_seconds")
# Of the same section, but not for here (`project_settings.py`).
_SETTINGS = ("classify", "model_output", "client_retries", "heartbeat_seconds")


@dataclass(frozen=True)
class ProjectLimits:
    """`runs` for runs that name none of their own, `rates` by model name for the project's workers."""

    runs: RunLimits = field(default_factory=RunLimits)
    rates: Mapping[str, RateLimit] = field(default_factory=dict[str, RateLimit])


def read_limits(section: Any, where: str) -> ProjectLimits:
    """Raises ConfigError naming `where`, the key and what is wrong with it."""
    given = _mapping({} if section is None else section, where)
    _known(given, (*_BUDGETS, *_TIMES, "rate_limits", *_SETTINGS), where)
    said: dict[str, Any] = {
        name: read_budget(given[name], f"{where}: {name!r}") for name in _BUDGETS if given.get(name)
    }
    for name in _TIMES:
        if name in given:
            said[name.removesuffix("_seconds")] = _time(given[name], f"{where}: {name!r}")
    rates = _mapping(given.get("rate_limits") or {}, f"{where}: 'rate_limits'")
    try:
        return ProjectLimits(RunLimits(**said), {name: _rate(rate, where) for name, rate in rates.items()})
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _rate(data: Any, where: str) -> RateLimit:
    given = dict(_mapping(data, f"{where}: 'rate_limits'"))
    _known(given, ("requests", "tokens", "per_seconds"), f"{where}: 'rate_limits'")
    if "per_seconds" in given:
        given["per"] = _time(given.pop("per_seconds"), f"{where}: 'per_seconds'")
    return RateLimit(**given)


def read_budget(data: Any, where: str) -> Budget:
    """Raises ConfigError naming `where`, the key and what is wrong with it."""
    given = dict(_mapping(data, where))
    names = [item.name.replace("wall_time", "wall_time_seconds") for item in fields(Budget)]
    _known(given, names, where)
    if "wall_time_seconds" in given:
        given["wall_time"] = _time(given.pop("wall_time_seconds"), f"{where}: 'wall_time_seconds'")
    try:
        return Budget(**given)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be an object, not {value!r}")
    return cast("dict[str, Any]", value)


def _known(given: Mapping[str, Any], names: Any, where: str) -> None:
    if unknown := sorted(set(given) - set(names)):
        raise ConfigError(f"{where} has no key {unknown[0]!r}; it may have {', '.join(names)}")


def _time(value: Any, where: str) -> timedelta:
    if value is None:
        return FOR_EVER
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e11:
        raise ConfigError(f"{where} must be a number of seconds above zero, not {value!r}")
    return timedelta(seconds=value)
