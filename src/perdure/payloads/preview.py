"""One line about any value, for people. Either side; owns no format that a program may read back."""

import dataclasses
from collections.abc import Iterable
from enum import Enum
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import BaseModel

from perdure.payloads.values import VALUE_FORMS

__all__ = ["summary"]

_DEPTH = 3
_ITEMS = 4


def summary(value: Any, limit: int = 120) -> str:
    """A preview of any value in one line of at most `limit` characters, the same in every process."""
    line = " ".join(_describe(value, _DEPTH, limit).split())
    return line if len(line) <= limit else line[: max(limit - 1, 0)] + "…"


def _describe(value: Any, depth: int, limit: int) -> str:
    if isinstance(value, str):
        return str.__str__(value)[: limit * 4]
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    if isinstance(value, BaseMessage):
        return _message(value, limit)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if depth == 0:
        return "…"
    if isinstance(value, dict):
        return ", ".join(_pairs(value.items(), depth, limit)) or "{}"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return _sequence(value, depth, limit)
    if isinstance(value, set | frozenset):
        return f"{len(value)} items"
    if (fields := _fields(value)) is not None:
        return f"{type(value).__name__}({', '.join(_pairs(fields, depth, limit))})"
    # Any other object's text may hold a memory address, which differs per process.
    return str(value) if isinstance(value, Enum) or type(value) in VALUE_FORMS else type(value).__name__


def _message(message: BaseMessage, limit: int) -> str:
    text = str(message.text)[: limit * 4]
    calls: list[dict[str, Any]] = getattr(message, "tool_calls", [])
    parts = [text] if text else []
    parts += [f"calls {', '.join(str(call['name']) for call in calls)}"] if calls else []
    return f"{type(message).__name__}: {' · '.join(parts)}" if parts else type(message).__name__


def _pairs(items: Iterable[tuple[Any, Any]], depth: int, limit: int) -> list[str]:
    return [f"{key}={_describe(item, depth - 1, limit)}" for key, item in items if not _is_void(item)]


def _is_void(item: Any) -> bool:
    return item is None or (isinstance(item, str | list | tuple | dict) and not item)


def _sequence(value: list[Any] | tuple[Any, ...], depth: int, limit: int) -> str:
    # The last items are what is new in a growing list, such as a conversation; as many as there is room for.
    shown: list[str] = []
    room = limit
    for item in reversed(value[-_ITEMS:]):
        told = _describe(item, depth - 1, limit)
        room -= len(told) + 2
        if shown and room < 0:
            break
        shown.append(told)
    left_out = f"({len(value) - len(shown)} more) " if len(value) > len(shown) else ""
    return f"[{left_out}{'; '.join(reversed(shown))}]"


def _fields(value: Any) -> list[tuple[str, Any]] | None:
    if isinstance(value, BaseModel):
        names: Iterable[str] = type(value).model_fields
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    else:
        names = getattr(type(value), "_fields", None) or getattr(type(value), "__slots__", ())
    found = [(name, getattr(value, name)) for name in names if hasattr(value, name)]
    return found or None
