"""How values, times and tables look. Side: cli. Results go to stdout; everything that only accompanies them to stderr."""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any, cast

from langchain_core.messages import BaseMessage
from pydantic import BaseModel
from rich.console import Console
from rich.json import JSON
from rich.table import Table

__all__ = ["columns", "duration", "plain", "print_data", "stderr", "stdout"]


def stdout() -> Console:
    return Console(highlight=False, width=_width(sys.stdout.isatty()))


def stderr() -> Console:
    return Console(stderr=True, highlight=False, width=_width(sys.stderr.isatty()))


def _width(terminal: bool) -> int | None:
    # Where no person's window wraps it, a line stays a line.
    return None if terminal else 200


def print_data(value: Any, *, as_json: bool) -> None:
    """A result on stdout: coloured for a person at a terminal, else plain JSON."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=2)
    if as_json or not sys.stdout.isatty():
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    else:
        stdout().print(JSON(text))


def plain(value: Any) -> Any:
    """The value as JSON's own types, for reading: it cannot be turned back."""
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, BaseMessage):
        fields = value.model_dump()
        return {"type": value.type, **{k: plain(v) for k, v in fields.items() if k != "type" and _says(v)}}
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return _plain_mapping(cast("Mapping[Any, Any]", value))
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in cast("Iterable[Any]", value)]
    return _plain_scalar(value)


def _says(value: Any) -> bool:
    return value is not None and value not in ("", [], {}, False)


def _plain_mapping(value: Mapping[Any, Any]) -> Any:
    """What has a `$type` is a value of a class that this process does not know."""
    if "$type" not in value:
        return {str(key): plain(item) for key, item in value.items()}
    fields = {key: plain(item) for key, item in value.items() if not str(key).startswith("$")}
    return next(iter(fields.values())) if set(fields) in ({"value"}, {"items"}) else fields


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return str(value)


def duration(length: timedelta) -> str:
    """Such as "0.34 s", "12 s", "3 min 20 s", "2 h 5 min", "4 d 1 h"."""
    seconds = max(0.0, length.total_seconds())
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    for size, unit, small_size, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def columns(*headers: str) -> Table:
    """A table without lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for header in headers:
        table.add_column(header, overflow="fold", no_wrap=header != "thread")
    return table
