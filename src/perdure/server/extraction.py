"""`extract` of a search: single values out of threads, by paths such as `values.messages[-1].content`. Side: server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["extracted", "path_of"]

_PART = re.compile(r"\.?([^.\[\]]+)|\[(-?\d+)\]")


def path_of(text: str) -> list[str | int]:
    """Keys and indices. Raises ValueError for a text that is no path."""
    parts: list[str | int] = []
    position = 0
    while match := _PART.match(text, position):
        parts.append(match[1] if match[1] is not None else int(match[2]))
        position = match.end()
    if not parts or position != len(text):
        raise ValueError(f"{text!r} is no path: write such as 'values.messages[-1].content'")
    return parts


def extracted(data: Any, paths: Mapping[str, str]) -> dict[str, Any]:
    """By alias; `None` for what is not there. `data` is plain JSON."""
    return {alias: _at(data, path_of(path)) for alias, path in paths.items()}


def _at(data: Any, path: list[str | int]) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data
