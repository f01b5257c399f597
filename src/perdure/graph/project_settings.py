"""The section `perdure` of a project's `langgraph.json`: what a worker is told beyond its graphs. Side: both.

    {"graphs": {...}, "perdure": {"model_output": "complete", "classify": "./errors.py:classify"}}

Other tools leave the section alone. These keys are options of `PerdurePlugin`; `project_limits.py` has
the others, and refuses what nobody knows.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from perdure.errors import ConfigError
from perdure.graph.project import Project
from perdure.graph.webhook_policy import WebhookPolicy

__all__ = ["plugin_options"]

_VALUES = {"model_output": ("any", "complete"), "client_retries": (True, False)}


async def plugin_options(project: Project) -> dict[str, Any]:
    """The options that the project sets.

    Raises:
        ConfigError: naming the file, the key and what it may be.
        GraphLoadError: `classify` names no place in code that can be loaded.
    """
    options: dict[str, Any] = {}
    if project.webhooks != WebhookPolicy():
        options["webhooks"] = project.webhooks
    for key, value in cast("dict[str, Any]", project.settings or {}).items():
        if key == "classify":
            options[key] = await _function(project, value)
        elif key == "heartbeat_seconds":
            options["heartbeat"] = _seconds(project, key, value)
        elif key in _VALUES and value not in _VALUES[key]:
            allowed = " or ".join(map(repr, _VALUES[key]))
            raise ConfigError(f"{project.file}: 'perdure.{key}' is {value!r}; it must be {allowed}")
        elif key in _VALUES:
            options[key] = value
    return options


def _seconds(project: Project, key: str, value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ConfigError(
            f"{project.file}: 'perdure.{key}' is {value!r}; it must be a number of seconds above zero"
        )
    return timedelta(seconds=value)


async def _function(project: Project, place: Any) -> Any:
    found = await project.aload_attribute("perdure.classify", place)
    if not callable(found):
        raise ConfigError(
            f"{project.file}: 'perdure.classify' is a {type(found).__name__}; it must be a function from an exception to a "
            "perdure.Verdict or None"
        )
    return found
