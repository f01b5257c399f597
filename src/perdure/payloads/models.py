"""Pydantic models in payloads: read and written field by field. Either side; owns no state.

A model is restored as it was, not validated again: validators may change values, and aliases may not round-trip.
The names of fields that were never set travel as `$unset`; extra values stand beside the fields, or in `$extra`
if one of their names begins with `$`.

It does not keep private attributes: they get their defaults, and `model_post_init` runs.
"""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from perdure.payloads.plan import ATOMS, TAG, Coder, Record

__all__ = ["brief_model_record", "model_record"]

_UNSET = "$unset"
_EXTRA = "$extra"
_LEADING = ("content", "name", "id", "tool_call_id", "tool_calls")
_NEVER = object()
_set = object.__setattr__


def model_record(cls: type[BaseModel], coder: Coder) -> Record:
    """A user's model: every field is written, the plan of its annotation applies."""
    plans = {name: coder.plan(field.annotation) for name, field in cls.model_fields.items()}
    encoders = {name: plan.encode if plan else coder.encode for name, plan in plans.items()}
    decoders = {name: plan.decode if plan else coder.decode for name, plan in plans.items()}
    restore = _restorer(cls)
    is_root = cls.__pydantic_root_model__

    def write(value: BaseModel, out: dict[str, Any]) -> dict[str, Any]:
        data = value.__dict__
        for name, encode in encoders.items():
            if name in data:
                out[name] = encode(data[name])
        if not is_root and value.__pydantic_extra__:
            _write_extra(value.__pydantic_extra__, out, coder)
        if unset := [name for name in encoders if name in data and name not in value.__pydantic_fields_set__]:
            out[_UNSET] = unset
        return out

    def read(data: dict[str, Any]) -> BaseModel:
        fields: dict[str, Any] = {}
        for name, decode in decoders.items():
            fields[name] = decode(data[name]) if name in data else _default(cls, name, fields)
        fields_set = {name for name in decoders if name in data}.difference(data.get(_UNSET, ()))
        return restore(fields, fields_set, _read_extra(data, decoders, coder))

    return Record(write, read)


def brief_model_record(cls: type[BaseModel], coder: Coder) -> Record:
    """A model of a built-in family, such as a message: fields that equal their default are left out.

    After a round trip the fields that count as set are those that differ from their default.
    """
    names = sorted(cls.model_fields, key=lambda name: (*_LEADING, name).index(name))
    columns = [(name, _omitted_default(cls, name)) for name in names]
    constants = {name: default for name, default in columns if not isinstance(default, list | dict)}
    template = {name: constants.get(name) for name in cls.model_fields}
    factories = [(name, type(default)) for name, default in columns if isinstance(default, list | dict)]
    restore = _restorer(cls)
    encode, decode = coder.encode, coder.decode
    required = {name for name, default in columns if default is _NEVER}

    def write(value: BaseModel, out: dict[str, Any]) -> dict[str, Any]:
        data = value.__dict__
        for name, default in columns:
            item = data.get(name, default)
            if item is default:
                continue
            tp = type(item)
            if tp in ATOMS:
                if tp is not type(default) or item != default:
                    out[name] = item
            elif tp is not type(default) or item:  # such a default is an empty list or dict
                out[name] = encode(item)
        if value.__pydantic_extra__:
            _write_extra(value.__pydantic_extra__, out, coder)
        return out

    def read(data: dict[str, Any]) -> BaseModel:
        fields = template.copy()
        for name, factory in factories:
            fields[name] = factory()
        fields_set: set[str] = set()
        for name, item in data.items():
            if name in template:
                fields[name] = item if type(item) in ATOMS else decode(item)
                fields_set.add(name)
        if not required <= fields_set:
            for name in required - fields_set:
                fields[name] = _default(cls, name, fields)
        extra = _read_extra(data, template, coder) if len(fields_set) + 1 < len(data) else {}
        return restore(fields, fields_set, extra)

    return Record(write, read)


def _restorer(cls: type[BaseModel]) -> Callable[[dict[str, Any], set[str], dict[str, Any]], BaseModel]:
    new = cls.__new__
    is_root = cls.__pydantic_root_model__
    allows_extra = cls.model_config.get("extra") == "allow"
    runs_post_init = bool(cls.__pydantic_post_init__)

    def restore(fields: dict[str, Any], fields_set: set[str], extra: dict[str, Any]) -> BaseModel:
        model = new(cls)
        _set(model, "__dict__", fields)
        _set(model, "__pydantic_fields_set__", fields_set)
        if not is_root:
            _set(model, "__pydantic_extra__", extra if allows_extra else None)
            _set(model, "__pydantic_private__", None)
        if runs_post_init:
            recorded = (fields.copy(), fields_set.copy())
            model.model_post_init(None)
            fields.update(recorded[0])
            _set(model, "__pydantic_fields_set__", recorded[1])
        return model

    return restore


def _omitted_default(cls: type[BaseModel], name: str) -> Any:
    """The default that is left out when equal: a plain constant, or an empty list or dict. Else `_NEVER`."""
    field = cls.model_fields[name]
    if field.default_factory in (list, dict):
        return field.default_factory()
    default = _NEVER if field.is_required() or field.default_factory else field.default
    return default if type(default) in ATOMS else _NEVER


def _default(cls: type[BaseModel], name: str, fields: dict[str, Any]) -> Any:
    field = cls.model_fields[name]
    if field.is_required():
        raise KeyError(f"the field {name!r} is missing")
    return field.get_default(call_default_factory=True, validated_data=fields)


def _write_extra(extra: dict[str, Any], out: dict[str, Any], coder: Coder) -> None:
    if any(name.startswith("$") for name in extra):
        out[_EXTRA] = coder.encode(extra)
    else:
        out.update((name, coder.encode(value)) for name, value in extra.items())


def _read_extra(data: dict[str, Any], fields: dict[str, Any], coder: Coder) -> dict[str, Any]:
    if _EXTRA in data:
        return coder.decode(data[_EXTRA])
    reserved = (TAG, _UNSET)
    return {k: coder.decode(v) for k, v in data.items() if k not in fields and k not in reserved}
