"""The section `perdure` of a project's `langgraph.json`: what a worker is told beyond its graphs. Side: both.

    {"graphs": {...}, "perdure": {"model_output": "complete", "classify": "./errors.py:classify"}}

Other tools leave the section alone. Its keys are options of `PerdurePlugin`.
"""

from __future__ import annotations

from typing import Any, cast

from perdure.errors import ConfigError
from perdure.graph.project import Project

__all__ = ["plugin_options"]

_VALUES = {"model_output": ("any", "complete"), "client_retries": (True, False)}


async def plugin_options(project: Project) -> dict[str, Any]:
    """The options that the project sets.

    Raises:
        ConfigError: naming the file, the key and what it may be.
        GraphLoadError: `classify` names no place in code that can be loaded.
    """
    if project.settings is None:
        return {}
    if not isinstance(project.settings, dict):
        raise ConfigError(
            f'{project.file}: \'perdure\' must be an object, such as {{"model_output": "complete"}}'
        )
    options: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", project.settings).items():
        if key == "classify":
            options[key] = await _function(project, value)
        elif key not in _VALUES:
            known = ", ".join(("classify", *_VALUES))
            raise ConfigError(f"{project.file}: 'perdure' has no key {key!r}; it may have {known}")
        elif value not in _VALUES[key]:
            allowed = " or ".join(map(repr, _VALUES[key]))
            raise ConfigError(f"{project.file}: 'perdure.{key}' is {value!r}; it must be {allowed}")
        else:
            options[key] = value
    return options


async def _function(project: Project, place: Any) -> Any:
    found = await project.aload_attribute("perdure.classify", place)
    if not callable(found):
        raise ConfigError(
            f"{project.file}: 'perdure.classify' is a {type(found).__name__}; it must be a function from an exception to a "
            "perdure.Verdict or None"
        )
    return found
