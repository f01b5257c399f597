"""Where in a value something is. Either side; owns the notation of paths, such as `messages[3].artifact`."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

from perdure.errors import PayloadNotSerializable

__all__ = ["path_to"]


def path_to(value: Any, check: Callable[[Any], Any]) -> str:
    """The path of the innermost part of `value` for which `check` raises PayloadNotSerializable."""
    path = ""
    found = True
    while found:
        found = False
        for segment, child in _children(value):
            try:
                check(child)
            except PayloadNotSerializable:
                path, value, found = path + segment, child, True
                break
    return path.removeprefix(".")


def _children(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f".{key}" if str(key).isidentifier() else f"[{key!r}]", item) for key, item in value.items()]
    if (names := getattr(value, "_fields", None)) and isinstance(value, tuple):
        return [(f".{name}", item) for name, item in zip(names, value, strict=True)]
    if isinstance(value, list | tuple | deque):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, BaseModel):
        return [
            (f".{name}", item) for name, item in (value.__dict__ | (value.__pydantic_extra__ or {})).items()
        ]
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    else:
        names = [name for name in getattr(type(value), "__slots__", ()) if isinstance(name, str)]
    return [(f".{name}", getattr(value, name)) for name in names if hasattr(value, name)]
