"""Payload forms of the standard library's values. Either side; owns one table of tagged forms.

| Python                                  | payload                                              |
|-----------------------------------------|------------------------------------------------------|
| tuple, set, frozenset, deque            | `{"$type": "tuple", "items": […]}`                   |
| dict with other keys than str           | `{"$type": "dict", "items": [[key, value], …]}`      |
| bytes, bytearray                        | `{"$type": "bytes", "base64": "…"}`                  |
| datetime, date, time, UUID, Decimal, …  | `{"$type": "date", "value": "2026-01-31"}`           |
| timedelta                               | `{"$type": "timedelta", "days": 1, "seconds": 30}`   |
| NaN and the infinities                  | `{"$type": "float", "value": "nan"}`                 |
| an allowed or built-in class            | `{"$type": "type", "name": "int"}`                   |

Sets are written in the order of their encoded items: the same bytes in every process.
It does not keep the class of a foreign `tzinfo` (only `ZoneInfo` and fixed offsets), but always the instant.
"""

import base64
import math
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from perdure.payloads.families import FAMILIES
from perdure.payloads.plan import TAG, Coder, Refused

__all__ = ["TEXT_FORMS", "VALUE_FORMS", "Form", "TextForm", "base_form", "is_bare_text", "write_float"]

_BUILTIN_TYPES = MappingProxyType(
    {
        tp.__name__: tp
        for tp in (str, int, float, bool, bytes, list, dict, tuple, set, frozenset, object, type(None))
    }
)
_CONTAINERS = (tuple, list, set, frozenset, deque, dict, OrderedDict, Counter, defaultdict)


class TextForm(NamedTuple):
    """A value that is one line of text. `owner` is the exact type that `read` returns."""

    name: str
    owner: type
    write: Callable[[Any], str]
    read: Callable[[str], Any]


class Form(NamedTuple):
    """A value in tagged form: what to write beside the tag, and how to read the whole object."""

    name: str
    write: Callable[[Any, Coder], dict[str, Any]]
    read: Callable[[dict[str, Any], Coder], Any]


def _text_forms() -> dict[type, TextForm]:
    forms: dict[type, TextForm] = {
        datetime: TextForm("datetime", datetime, datetime.isoformat, datetime.fromisoformat),
        date: TextForm("date", date, date.isoformat, date.fromisoformat),
        time: TextForm("time", time, time.isoformat, time.fromisoformat),
    }
    addresses = (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)
    for tp in (UUID, Decimal, PurePosixPath, PureWindowsPath, *addresses):
        forms[tp] = TextForm(tp.__name__, tp, str, tp)
    for tp in (Path, PosixPath, WindowsPath):
        forms[tp] = TextForm("Path", type(Path()), str, Path)
    for name, tp in FAMILIES.items():
        if name.endswith("Url"):
            forms[tp] = TextForm(name, tp, str, tp)
    return forms


TEXT_FORMS: Mapping[type, TextForm] = MappingProxyType(_text_forms())
"""Exact type → its text. A field declared as one of these is written as the bare text."""


def is_bare_text(value: Any) -> bool:
    """Whether the text alone restores the value: not for a time that also has a fold or a zone with a name."""
    if not isinstance(value, datetime | time):
        return True
    return value.fold == 0 and (value.tzinfo is None or not isinstance(value.tzinfo, ZoneInfo))


def _text(form: TextForm) -> Form:
    return Form(form.name, lambda v, _: {"value": form.write(v)}, lambda d, _: form.read(d["value"]))


def _write_time(value: datetime | time, coder: Coder) -> dict[str, Any]:
    out: dict[str, Any] = {"value": value.isoformat()}
    if isinstance(value.tzinfo, ZoneInfo):
        out["zone"] = value.tzinfo.key
    if value.fold:
        out["fold"] = value.fold
    return out


def _reader_of_time(tp: type[datetime | time]) -> Callable[[dict[str, Any], Coder], Any]:
    def read(data: dict[str, Any], coder: Coder) -> Any:
        value = tp.fromisoformat(data["value"])
        if "zone" in data:
            value = value.replace(tzinfo=ZoneInfo(data["zone"]))
        return value.replace(fold=data.get("fold", 0))

    return read


def _write_timedelta(value: timedelta, coder: Coder) -> dict[str, Any]:
    parts = {"days": value.days, "seconds": value.seconds, "microseconds": value.microseconds}
    return {name: part for name, part in parts.items() if part} or {"seconds": 0}


def _without_tag(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != TAG}


def _write_items(value: Any, coder: Coder) -> dict[str, Any]:
    return {"items": [coder.encode(item) for item in value]}


def _write_set(value: Any, coder: Coder) -> dict[str, Any]:
    return {"items": coder.ordered([coder.encode(item) for item in value])}


def _reader_of_items(tp: type) -> Callable[[dict[str, Any], Coder], Any]:
    return lambda data, coder: tp([coder.decode(item) for item in data["items"]])


def _write_deque(value: deque[Any], coder: Coder) -> dict[str, Any]:
    out = _write_items(value, coder)
    return out if value.maxlen is None else {**out, "maxlen": value.maxlen}


def _write_pairs(value: dict[Any, Any], coder: Coder) -> dict[str, Any]:
    return {"items": [[coder.encode(key), coder.encode(item)] for key, item in value.items()]}


def _read_pairs(data: dict[str, Any], coder: Coder) -> dict[Any, Any]:
    return {coder.decode(key): coder.decode(item) for key, item in data["items"]}


def _write_defaultdict(value: defaultdict[Any, Any], coder: Coder) -> dict[str, Any]:
    return {"factory": coder.encode(value.default_factory), **_write_pairs(value, coder)}


def _write_type(value: type, coder: Coder) -> dict[str, Any]:
    if value in _BUILTIN_TYPES.values():
        return {"name": value.__name__}
    if (name := coder.registry.name_of(value)) is None:
        raise Refused(
            f"the class {value.__qualname__!r} itself", f"pass types=[{value.__name__}] to PerdurePlugin"
        )
    return {"name": name}


def _read_type(data: dict[str, Any], coder: Coder) -> type:
    return _BUILTIN_TYPES.get(data["name"]) or coder.registry.resolve(data["name"])


def _write_pattern(value: re.Pattern[Any], coder: Coder) -> dict[str, Any]:
    return {"pattern": coder.encode(value.pattern), "flags": value.flags}


def _write_zone(value: ZoneInfo, coder: Coder) -> dict[str, Any]:
    if value.key is None:
        raise Refused("a ZoneInfo without a key", "use ZoneInfo(name), which can be restored by its name")
    return {"value": value.key}


def _write_offset(value: timezone, coder: Coder) -> dict[str, Any]:
    return _write_timedelta(value.utcoffset(None), coder)


def write_float(value: float) -> Any:
    return float.__float__(value) if math.isfinite(value) else {TAG: "float", "value": float.__repr__(value)}


def _value_forms() -> dict[type, Form]:
    forms = {tp: _text(form) for tp, form in TEXT_FORMS.items()}
    forms |= {
        datetime: Form("datetime", _write_time, _reader_of_time(datetime)),
        time: Form("time", _write_time, _reader_of_time(time)),
        timedelta: Form("timedelta", _write_timedelta, lambda d, _: timedelta(**_without_tag(d))),
        timezone: Form("timezone", _write_offset, lambda d, _: timezone(timedelta(**_without_tag(d)))),
        ZoneInfo: Form("ZoneInfo", _write_zone, lambda d, _: ZoneInfo(d["value"])),
        tuple: Form("tuple", _write_items, _reader_of_items(tuple)),
        list: Form("list", _write_items, _reader_of_items(list)),
        set: Form("set", _write_set, _reader_of_items(set)),
        frozenset: Form("frozenset", _write_set, _reader_of_items(frozenset)),
        deque: Form(
            "deque",
            _write_deque,
            lambda d, coder: deque([coder.decode(item) for item in d["items"]], d.get("maxlen")),
        ),
        dict: Form("dict", _write_pairs, _read_pairs),
        OrderedDict: Form("OrderedDict", _write_pairs, lambda d, c: OrderedDict(_read_pairs(d, c))),
        Counter: Form("Counter", _write_pairs, lambda d, c: Counter(_read_pairs(d, c))),
        defaultdict: Form(
            "defaultdict",
            _write_defaultdict,
            lambda d, c: defaultdict(c.decode(d["factory"]), _read_pairs(d, c)),
        ),
        bytes: Form(
            "bytes", lambda v, _: {"base64": _to_base64(v)}, lambda d, _: base64.b64decode(d["base64"])
        ),
        bytearray: Form(
            "bytearray",
            lambda v, _: {"base64": _to_base64(v)},
            lambda d, _: bytearray(base64.b64decode(d["base64"])),
        ),
        re.Pattern: Form(
            "Pattern", _write_pattern, lambda d, c: re.compile(c.decode(d["pattern"]), d["flags"])
        ),
        type: Form("type", _write_type, _read_type),
        float: Form("float", lambda v, _: {"value": float.__repr__(v)}, lambda d, _: float(d["value"])),
        str: Form("str", lambda v, _: {"value": v}, lambda d, _: d["value"]),
        int: Form("int", lambda v, _: {"value": v}, lambda d, _: d["value"]),
    }
    return forms


def _to_base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode("ascii")


VALUE_FORMS: Mapping[type, Form] = MappingProxyType(_value_forms())
"""Exact type → its tagged form."""

_BASES = (str, int, float, dict, list, datetime, date, time, UUID, Decimal, PosixPath, PurePosixPath)


def base_form(tp: type) -> type | None:
    """The type that stands for a subclass of a JSON or standard-library type; None if it would lose too much."""
    if issubclass(tp, type):
        return type
    return next((base for base in tp.__mro__ if base in _BASES), None)
