"""Values to JSON and back, exactly. Either side; owns the dispatch by type and by tag.

JSON's own types are written as they are; every other value is an object with a `$type`, which names one of the
allowed types. At the top of a payload a dataclass is a plain object, as with Temporal's own converter: the type
hint of whoever reads it says what it is.

Invariants: reviving never imports; the same value gives the same bytes in every process; what cannot be restored
exactly is refused when it is written, with its path and the fix.

It does not preserve shared references (an object that occurs twice is written twice), and subclasses of str, int,
list and dict come back as their base.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import orjson
from pydantic_core import from_json

from perdure.errors import PayloadError, PayloadNotSerializable
from perdure.payloads.discovery import is_record
from perdure.payloads.exceptions import read_exception, write_exception
from perdure.payloads.families import FAMILIES
from perdure.payloads.hints import compile_plan
from perdure.payloads.paths import path_to
from perdure.payloads.plan import ATOMS, TAG, Plan, Record, Refused
from perdure.payloads.records import compile_record
from perdure.payloads.registry import TypeRegistry, qualified_name
from perdure.payloads.values import VALUE_FORMS, Form, base_form, write_float

__all__ = ["decode", "dumps", "encode", "loads"]

_PLAN_CACHE = 256
# A hint or class beyond the list is a sandbox's twin, new in each workflow run: keep few of them alive.
_SCOPE_CACHE = 64


def encode(value: Any, registry: TypeRegistry) -> Any:
    """A JSON-native structure (dict, list, str, int, float, bool, None) that `decode` turns back into `value`.

    Raises:
        PayloadNotSerializable: some part of `value` has no form that would restore it exactly.
    """
    codec = _codec(registry, lenient=False)
    return codec.begin(value, codec.encode)


def decode(data: Any, registry: TypeRegistry, *, lenient: bool = False) -> Any:
    """The value that `encode` wrote.

    Args:
        data: what `encode` returned, or any plain JSON structure.
        registry: the types that may be revived.
        lenient: an unknown type becomes a dict that keeps its `$type`, instead of an error.

    Raises:
        PayloadTypeUnknown: a type is named that is not on the list.
        PayloadError: the data do not fit the type that they name.
    """
    return _codec(registry, lenient=lenient).finish(data, None)


def dumps(value: Any, registry: TypeRegistry) -> bytes:
    """One payload as JSON text. At its top a dataclass is a plain object, to be read with a type hint.

    Raises:
        PayloadNotSerializable: some part of `value` has no form that would restore it exactly.
    """
    codec = _codec(registry, lenient=False)
    return codec.begin(value, lambda v: codec.to_bytes(codec.encode_top(v)))


def loads(data: bytes, registry: TypeRegistry, type_hint: Any = None, *, lenient: bool = False) -> Any:
    """The value of one payload, which `dumps`, Temporal's own converter or any other client wrote.

    Args:
        data: JSON text.
        registry: the types that may be revived; those that `type_hint` names are added to them.
        type_hint: the declared type of the value, if there is one.
        lenient: an unknown type becomes a dict that keeps its `$type`, instead of an error.

    Raises:
        PayloadTypeUnknown: a type is named that is not on the list.
        PayloadError: the data are no JSON, or do not fit the hint or the type that they name.
    """
    return _codec(registry, lenient=lenient).finish(_parse(data), type_hint)


def _codec(registry: TypeRegistry, *, lenient: bool) -> "Codec":
    codec = registry.compiled.get(lenient)
    if codec is None:
        codec = registry.compiled[lenient] = Codec(registry, lenient=lenient)
    return codec


class Codec:
    """The compiled encoders and decoders of one registry: the `Coder` that records and plans call back."""

    def __init__(self, registry: TypeRegistry, *, lenient: bool) -> None:
        self.registry = registry
        self._lenient = lenient
        self._records: dict[type, Record] = {}
        self._encoders: dict[type, Callable[[Any], Any]] = {
            **{tp: self._tagged(form) for tp, form in VALUE_FORMS.items()},
            **dict.fromkeys(ATOMS, _itself),
            float: write_float,
            dict: self._encode_dict,
            list: self._encode_list,
        }
        self._decoders: dict[str, Callable[[dict[str, Any]], Any]] = {
            form.name: self._reader(form) for form in VALUE_FORMS.values()
        }
        self._decoders["Exception"] = lambda data: read_exception(data, self)
        self._encoder_beyond_list = lru_cache(_SCOPE_CACHE)(self._compile_beyond_list)
        self._cached_plan = lru_cache(_PLAN_CACHE)(self._compile_plan)
        self._cached_scope = lru_cache(_SCOPE_CACHE)(self._compile_scope)

    def begin(self, value: Any, step: Callable[[Any], Any]) -> Any:
        """Run an encoding step over a whole value, and say in its error where in the value it failed."""
        try:
            return step(value)
        except Refused as refused:
            path = path_to(value, self.scope(type(value)).encode)
            where = f" at {path!r}" if path else ""
            raise PayloadNotSerializable(
                f"cannot put {refused.subject}{where} into a payload: {refused.fix}"
            ) from None
        except RecursionError:
            raise PayloadNotSerializable(
                f"cannot put a {type(value).__name__!r} into a payload: it is nested too deeply (more than about "
                "250 levels) or contains itself; flatten it, or store a reference instead"
            ) from None

    def finish(self, data: Any, hint: Any) -> Any:
        """Read a whole value."""
        try:
            if hint is None or hint is Any:
                return self.decode(data)
            scope = self.scope(hint)
            plan = scope.plan(hint, strict=True)
            return plan.decode(data) if plan else scope.decode(data)
        except RecursionError:
            raise PayloadError("cannot read a payload: it is nested too deeply; flatten the value") from None
        except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
            raise PayloadError(
                f"cannot read a payload as {hint!r}: {error}; send what the hint declares"
            ) from error

    def encode(self, value: Any) -> Any:
        """The generic form of any value: JSON types as they are, others as tagged objects."""
        tp = type(value)
        encoder = self._encoders.get(tp) or self._encoder_for(tp)
        return encoder(value)

    def encode_top(self, value: Any) -> Any:
        """The form of a whole payload: generic, but for what a type hint restores."""
        tp: Any = type(value)
        if tp in _GENERIC_AT_TOP or not is_record(tp) or issubclass(tp, BaseException):
            return self.encode(value)
        if issubclass(tp, str | int) and issubclass(tp, Enum) and tp not in self.registry:
            return value.value
        scope = self.scope(tp)
        return scope.record(tp).write(value, {}) if dataclasses.is_dataclass(tp) else scope.encode(value)

    def decode(self, data: Any) -> Any:
        """The value of a generic form."""
        tp = type(data)
        if tp is dict:
            tag = data.get(TAG)
            if type(tag) is str:
                return self._decode_tagged(tag, data)
            if _SCALARS.issuperset(map(type, data.values())):
                return data
            return {key: item if type(item) in _SCALARS else self.decode(item) for key, item in data.items()}
        if tp is list:
            if _SCALARS.issuperset(map(type, data)):
                return data
            return [item if type(item) in _SCALARS else self.decode(item) for item in data]
        return data

    def escape(self, value: Any) -> Any:
        """A JSON-native value in tagged form, where its plain form would be mistaken for another type."""
        form = VALUE_FORMS[type(value)]
        return {TAG: form.name, **form.write(value, self)}

    def ordered(self, items: list[Any]) -> list[Any]:
        """Encoded items in an order that is the same in every process."""
        return sorted(items, key=self.to_bytes)

    def to_bytes(self, encoded: Any) -> bytes:
        """JSON text of an encoded value."""
        try:
            return orjson.dumps(encoded)
        except TypeError as error:
            if "Recursion" in str(error):
                raise RecursionError from None
            return _slow_bytes(encoded)

    def record(self, tp: type) -> Record:
        """The record of an allowed class."""
        record = self._records.get(tp)
        if record is None:
            record = self._records[tp] = compile_record(tp, self)
        return record

    def plan(self, hint: Any, *, strict: bool = False) -> Plan | None:
        """The plan of a type hint; None if its values are written and read generically."""
        compiler = self._cached_plan if _is_hashable(hint) else self._compile_plan
        return compiler(hint, strict)

    def scope(self, root: Any) -> "Codec":
        """The codec that also knows the types that a class or hint names."""
        compiler = self._cached_scope if _is_hashable(root) else self._compile_scope
        return compiler(root)

    def _compile_plan(self, hint: Any, strict: bool) -> Plan | None:
        return compile_plan(hint, self, strict=strict)

    def _compile_scope(self, root: Any) -> "Codec":
        registry = self.registry.scoped(root)
        return self if registry is self.registry else Codec(registry, lenient=self._lenient)

    def _tagged(self, form: Form) -> Callable[[Any], Any]:
        name, write = form.name, form.write
        return lambda value: {TAG: name, **write(value, self)}

    def _reader(self, form: Form) -> Callable[[dict[str, Any]], Any]:
        read = form.read
        return lambda data: read(data, self)

    def _encode_list(self, value: list[Any]) -> Any:
        known, other = self._encoders, self._encoder_for
        return [item if (tp := type(item)) in ATOMS else (known.get(tp) or other(tp))(item) for item in value]

    def _encode_dict(self, value: dict[Any, Any]) -> Any:
        known, other = self._encoders, self._encoder_for
        out: dict[str, Any] = {}
        for key, item in value.items():
            if type(key) is not str or key == TAG:
                return self.escape(value)
            tp = type(item)
            out[key] = item if tp in ATOMS else (known.get(tp) or other(tp))(item)
        return out

    def _encoder_for(self, tp: type) -> Callable[[Any], Any]:
        if tp not in self.registry:
            return self._encoder_beyond_list(tp)
        if issubclass(tp, BaseException):
            return lambda error: write_exception(error, self)
        name, record = self.registry.name_of(tp), self.record(tp)
        write = record.write

        def encode(value: Any) -> Any:
            return write(value, {TAG: name})

        self._encoders[tp] = encode
        return encode

    def _compile_beyond_list(self, tp: Any) -> Callable[[Any], Any]:
        if issubclass(tp, BaseException):
            return lambda error: write_exception(error, self)
        if is_record(tp):
            if self.registry.name_of(tp) is None:
                raise Refused(
                    f"a {qualified_name(tp)!r}",
                    f"add it to the state's annotations, or pass types=[{tp.__name__}] to PerdurePlugin",
                )
            return self.scope(tp).encode
        base: Any = base_form(tp)
        if base is None:
            raise Refused(
                f"a {qualified_name(tp)!r}",
                "make it a dataclass, a Pydantic model or plain data, or keep it out of the state",
            )
        if (plain := _PLAIN_SCALARS.get(base)) is not None:
            return plain
        return self._encoders[base]

    def _decode_tagged(self, tag: str, data: dict[str, Any]) -> Any:
        reader = self._decoders.get(tag) or self._reader_for(tag)
        try:
            return reader(data)
        except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
            raise PayloadError(
                f"cannot restore a {tag!r} from a payload: {error!r}; was it written by another version of the class?"
            ) from error

    def _reader_for(self, tag: str) -> Callable[[dict[str, Any]], Any]:
        if self._lenient and self.registry.find(tag) is None:
            return self._decode_unknown
        reader = self._decoders[tag] = self.record(self.registry.resolve(tag)).read
        return reader

    def _decode_unknown(self, data: dict[str, Any]) -> Any:
        return {key: self.decode(item) for key, item in data.items()}


# These need no look at what else they may be.
_GENERIC_AT_TOP = frozenset({*ATOMS, *VALUE_FORMS, *FAMILIES.values()})
# What JSON holds besides dicts and lists.
_SCALARS = ATOMS | {float}
# A subclass may override str() or int(); these read the value itself.
_PLAIN_SCALARS: Mapping[type, Callable[[Any], Any]] = MappingProxyType(
    {str: str.__str__, int: int.__int__, float: write_float}
)


def _itself(value: Any) -> Any:
    return value


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _slow_bytes(encoded: Any) -> bytes:
    """For what orjson refuses: integers of more than 64 bits and lone surrogates, which both round-trip as JSON."""
    try:
        text = json.dumps(encoded, separators=(",", ":"), allow_nan=False)
        if json.loads(text) == encoded:
            return text.encode("ascii")
        reason = "a text in it holds a surrogate pair as two characters; decode it with errors='replace'"
    except ValueError as error:
        reason = f"{error}; write the number as text"
    raise PayloadNotSerializable(f"cannot write a payload as JSON: {reason}")


def _parse(data: bytes) -> Any:
    try:
        # Not orjson, which reads integers of more than 64 bits as floats.
        return from_json(data, cache_strings="keys")
    except ValueError:
        pass  # lone surrogates, which Temporal's converter writes, and deep nesting
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PayloadError(
            f"a payload is no JSON: {error}; was it written with another payload codec?"
        ) from error
