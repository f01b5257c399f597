"""Compiled writers and readers for classes with named fields. Either side; owns no state.

| class                    | how it is restored                                                        |
|--------------------------|---------------------------------------------------------------------------|
| Pydantic model           | see `models`                                                              |
| dataclass                | fields set as they were; `__init__` runs only for its `__post_init__`     |
| NamedTuple, enum         | by field, by value                                                        |
| LangGraph's slot classes | by constructor                                                            |

The built-in families are written *briefly*: a field that equals its default is left out. Users' own classes are
written in full, so that a default changed in code does not change a recorded value.
"""

import dataclasses
import inspect
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any

from langgraph.store.base import Item, SearchItem
from langgraph.types import Send
from pydantic import BaseModel

from perdure.payloads.discovery import hints_of, is_named_tuple
from perdure.payloads.families import FAMILIES
from perdure.payloads.models import brief_model_record, model_record
from perdure.payloads.plan import ATOMS, Coder, Record

__all__ = ["compile_record"]

_FAMILY_TYPES = frozenset(FAMILIES.values())
_NEVER = object()
_set = object.__setattr__


def compile_record(tp: type, coder: Coder) -> Record:
    """The record of a class for which `discovery.is_record` holds, or of a family's slot class."""
    is_family = tp in _FAMILY_TYPES
    if issubclass(tp, BaseModel):
        return brief_model_record(tp, coder) if is_family else model_record(tp, coder)
    if issubclass(tp, Enum):
        return _enum_record(tp)
    if tp is Send:
        return _slots_record(lambda f: Send(f["node"], f["arg"], timeout=f["timeout"]), _SEND, coder)
    if tp in (Item, SearchItem):
        names = _ITEM if tp is Item else {**_ITEM, "score": (Any, None)}
        return _slots_record(lambda f: tp(**f), names, coder)
    if is_named_tuple(tp):
        return _named_tuple_record(tp, coder)
    return _dataclass_record(tp, coder, is_brief=is_family)


def _enum_record(cls: type[Enum]) -> Record:
    def write(value: Enum, out: dict[str, Any]) -> dict[str, Any]:
        if type(value.value) in (str, int):
            out["value"] = value.value
        else:
            out["name"] = value.name
        return out

    def read(data: dict[str, Any]) -> Enum:
        return cls(data["value"]) if "value" in data else cls[data["name"]]

    return Record(write, read)


_SEND: dict[str, Any] = {"node": (Any, _NEVER), "arg": (Any, _NEVER), "timeout": (Any, None)}
_ITEM: dict[str, Any] = {
    "namespace": (tuple[str, ...], _NEVER),
    "key": (Any, _NEVER),
    "value": (Any, _NEVER),
    "created_at": (datetime, _NEVER),
    "updated_at": (datetime, _NEVER),
}


def _slots_record(
    build: Callable[[dict[str, Any]], Any], fields: dict[str, tuple[Any, Any]], coder: Coder
) -> Record:
    plans = {name: coder.plan(hint) for name, (hint, _) in fields.items()}
    columns = [
        (name, plan.encode if plan else coder.encode, plan.decode if plan else coder.decode, fields[name][1])
        for name, plan in plans.items()
    ]

    def write(value: Any, out: dict[str, Any]) -> dict[str, Any]:
        for name, encode, _, default in columns:
            if (item := getattr(value, name)) is not default:
                out[name] = encode(item)
        return out

    def read(data: dict[str, Any]) -> Any:
        return build(
            {name: decode(data[name]) if name in data else default for name, _, decode, default in columns}
        )

    return Record(write, read)


def _named_tuple_record(cls: Any, coder: Coder) -> Record:
    hints = hints_of(cls)
    plans = {name: coder.plan(hints.get(name, Any)) for name in cls._fields}
    encoders = [(name, plan.encode if plan else coder.encode) for name, plan in plans.items()]
    decoders = [(name, plan.decode if plan else coder.decode) for name, plan in plans.items()]
    defaults = cls._field_defaults

    def write(value: Any, out: dict[str, Any]) -> dict[str, Any]:
        for (name, encode), item in zip(encoders, value, strict=True):
            out[name] = encode(item)
        return out

    def read(data: dict[str, Any]) -> Any:
        return cls._make(decode(data[name]) if name in data else defaults[name] for name, decode in decoders)

    return Record(write, read)


def _dataclass_record(cls: Any, coder: Coder, *, is_brief: bool) -> Record:
    hints = {} if is_brief else hints_of(cls)
    plans = [(field.name, coder.plan(hints.get(field.name, Any))) for field in dataclasses.fields(cls)]
    encoders = [(name, plan.encode if plan else None) for name, plan in plans]
    decoders = [(name, plan.decode if plan else coder.decode) for name, plan in plans]
    omitted = {f.name: f.default for f in dataclasses.fields(cls)} if is_brief else {}
    generic = coder.encode
    build = _dataclass_builder(cls)

    def write(value: Any, out: dict[str, Any]) -> dict[str, Any]:
        for name, encode in encoders:
            item = getattr(value, name, _NEVER)
            if item is _NEVER or (is_brief and (item is omitted[name] or _same(item, omitted[name]))):
                continue
            if encode is not None:
                out[name] = encode(item)
            else:
                out[name] = item if type(item) in ATOMS else generic(item)
        return out

    def read(data: dict[str, Any]) -> Any:
        return build({name: decode(data[name]) for name, decode in decoders if name in data})

    return Record(write, read)


def _same(item: Any, default: Any) -> bool:
    return type(item) in ATOMS and type(item) is type(default) and item == default


def _dataclass_builder(cls: Any) -> Callable[[dict[str, Any]], Any]:
    """Builds an instance from its fields' values; fields left out get their defaults."""
    fields = dataclasses.fields(cls)
    if hasattr(cls, "__post_init__") and _takes_only_fields(cls):
        arguments = {field.name for field in fields if field.init}

        def build_and_initialise(values: dict[str, Any]) -> Any:
            # __post_init__ may set what is no field; what is one then gets its recorded value back.
            instance = cls(**{name: value for name, value in values.items() if name in arguments})
            for name, value in values.items():
                _set(instance, name, value)
            return instance

        return build_and_initialise

    def build(values: dict[str, Any]) -> Any:
        instance = cls.__new__(cls)
        for field in fields:
            if field.name in values:
                _set(instance, field.name, values[field.name])
            elif field.default is not dataclasses.MISSING:
                _set(instance, field.name, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                _set(instance, field.name, field.default_factory())
            elif field.init:
                raise KeyError(f"the field {field.name!r} is missing")
        return instance

    return build


def _takes_only_fields(cls: Any) -> bool:
    """Whether `__init__` can be called with fields alone: not with an InitVar that has no default."""
    if not cls.__dataclass_params__.init:
        return False
    names = {field.name for field in dataclasses.fields(cls)}
    parameters = inspect.signature(cls.__init__).parameters.values()
    needed = [p.name for p in list(parameters)[1:] if p.default is inspect.Parameter.empty]
    return names.issuperset(needed)
