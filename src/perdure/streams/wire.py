"""State values, messages and whatever nodes say, as the JSON that LangGraph's clients expect.

Side: both. For reading only: types are lost here, unlike in `perdure.payloads`.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
from langchain_core.messages import BaseMessage
from langgraph.types import Command, Interrupt, Send
from pydantic import BaseModel

__all__ = ["to_json"]

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS


def to_json(value: Any) -> bytes:
    """Any value: what has no JSON of its own is told by its text."""
    try:
        return orjson.dumps(value, _told, _OPTIONS)
    except orjson.JSONEncodeError:  # a text that is no Unicode, an integer of more than 64 bits, a cycle
        return orjson.dumps(_plain(value, 0))


def _told(value: Any) -> Any:
    if isinstance(value, BaseMessage | BaseModel):
        return value.model_dump()
    if isinstance(value, Interrupt):
        return {"value": value.value, "id": value.id}
    if isinstance(value, Send):
        return {"node": value.node, "input": value.arg}
    if isinstance(value, Command):
        return {"update": value.update, "goto": value.goto, "resume": value.resume, "graph": value.graph}
    if isinstance(value, BaseException):
        return {"error": type(value).__name__, "message": str(value)}
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, set | frozenset | deque | tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if callable(as_list := getattr(value, "tolist", None)):  # arrays and their scalars
        return as_list()
    return str(value)


def _plain(value: Any, depth: int) -> Any:
    """The long way round, for what orjson refuses."""
    if depth > 100:
        return "..."
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, Mapping):
        return {_plain(str(key), depth): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    try:
        return orjson.loads(orjson.dumps(value))
    except orjson.JSONEncodeError:
        told = _told(value)
        return _plain(told, depth + 1)
