"""Plans compiled from type hints: what a declared type lets a payload leave out. Either side; owns no state.

| hint                                   | plain form of a value that is exactly that                          |
|----------------------------------------|---------------------------------------------------------------------|
| dataclass                              | object of its fields                                                |
| enum of str or int                     | the member's value                                                  |
| datetime, UUID, Decimal, Path, …       | text                                                                |
| tuple[…], set[X], frozenset[X]         | list                                                                |
| list[X], dict[K, X], TypedDict, X \\| Y | as the parts, if those have plain forms that cannot be confused     |
| Pydantic model                         | none: a plain object is a foreign client's, and is validated        |
| all others                             | none: written generically                                           |

Two modes. A *field* plan restores exactly, also values that contradict their annotation. A *strict* plan is for
the hint of a whole payload, which any client may have written: what does not fit raises TypeError, and what
Temporal's own converter would convert is converted as it does.
"""

import json
import typing
from collections import abc
from collections.abc import Callable
from datetime import datetime, time
from enum import Enum
from functools import cache, reduce
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union

import typing_extensions
from pydantic import BaseModel
from temporalio.converter import value_to_type

from perdure.payloads.discovery import hints_of, is_record
from perdure.payloads.plan import ATOMS, TAG, Coder, Plan, is_tagged
from perdure.payloads.values import TEXT_FORMS, is_bare_text

__all__ = ["compile_plan"]

_JSON_TYPES = frozenset({*ATOMS, float, list, dict})
_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable)
_DICTS = (dict, abc.Mapping, abc.MutableMapping)
_ZONED = (datetime, time)
_WRAPPERS = (
    typing.Annotated,
    typing.Final,
    typing.ClassVar,
    typing_extensions.Required,
    typing_extensions.NotRequired,
    typing_extensions.ReadOnly,
)


def compile_plan(hint: Any, coder: Coder, *, strict: bool) -> Plan | None:
    """The plan of a hint; None if its values are written and read generically."""
    return _Compiler(coder, strict).part(hint)


def _bare(hint: Any) -> Any:
    """The hint inside Annotated, Required, NewType and named aliases."""
    while True:
        if typing.get_origin(hint) in _WRAPPERS:
            hint = typing.get_args(hint)[0]
            continue
        target = getattr(hint, "__value__", None) or getattr(hint, "__supertype__", None)
        if target is None or isinstance(hint, type):
            return hint
        hint = target


class _Compiler:
    def __init__(self, coder: Coder, strict: bool) -> None:
        self._coder = coder
        self._strict = strict
        self._open: list[Any] = []

    def part(self, hint: Any) -> Plan | None:
        hint = _bare(hint)
        if hint is Any or hint is object or isinstance(hint, TypeVar | str | typing.ForwardRef):
            return None
        if any(hint is outer for outer in self._open):
            return None  # an alias that names itself, such as JsonValue
        self._open.append(hint)
        plan = self._plan(hint)
        self._open.pop()
        return plan

    def _plan(self, hint: Any) -> Plan | None:
        origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
        if origin is Union or origin is UnionType:
            return self._union(hint, args)
        if not isinstance(origin, type):
            return self._leaf(hint)
        if typing_extensions.is_typeddict(origin):
            return self._typed_dict(origin)
        if origin in TEXT_FORMS:
            return self._text(origin)
        if origin is bytes:
            # Temporal's converter writes bytes inside a dataclass as a list of numbers.
            return self._make(bytes, bytes, list, self._coder.encode, bytes)
        if origin in self._coder.registry and is_record(origin):
            return self._record(origin)
        return self._container(hint, origin, args) or self._leaf(hint)

    def _make(
        self,
        hint: Any,
        owner: type,
        kind: type,
        write: Callable[[Any], Any],
        read: Callable[[Any], Any],
    ) -> Plan:
        """The plan for values that are exactly an `owner`, written as a JSON `kind`."""
        coder, strict = self._coder, self._strict

        def encode(value: Any) -> Any:
            if type(value) is owner:
                return write(value)
            out = coder.encode(value)
            if type(out) is not kind or is_tagged(out):
                return out
            return coder.escape(out if kind in ATOMS else kind(value))

        def decode(data: Any) -> Any:
            if type(data) is kind and not is_tagged(data):
                return read(data)
            if strict and not is_tagged(data):
                raise TypeError(f"expected {kind.__name__} for {hint!r}, got {type(data).__name__}")
            return coder.decode(data)

        return Plan(encode, decode, owner, kind)

    def _leaf(self, hint: Any) -> Plan | None:
        if not self._strict:
            return None
        coder = self._coder

        def decode(data: Any) -> Any:
            value = coder.decode(data)
            if type(value) not in _JSON_TYPES or is_tagged(data):
                return value
            if hint is int and type(value) is float and not value.is_integer():
                raise TypeError(f"expected an int, got {value!r}")  # the default converter cuts it off
            return value_to_type(hint, value)

        return Plan(coder.encode, decode)

    def _text(self, tp: type) -> Plan:
        form, coder = TEXT_FORMS[tp], self._coder

        def write(value: Any) -> Any:
            return form.write(value) if is_bare_text(value) else coder.encode(value)

        # Not `tp`: in Temporal's sandbox that may be a proxy of the class, which no value is exactly of.
        return self._make(tp, form.owner, str, write, form.read)

    def _record(self, tp: Any) -> Plan | None:
        coder = self._coder
        if issubclass(tp, BaseModel):
            # Ours are tagged, so a plain object comes from elsewhere and is validated as JSON.
            return self._make(tp, tp, dict, coder.encode, lambda data: _validated(tp, data, coder))
        if issubclass(tp, Enum):
            kinds = {type(member.value) for member in tp}
            if kinds not in ({str}, {int}):
                return self._leaf(tp)
            return self._make(tp, tp, kinds.pop(), lambda member: member.value, tp)
        if issubclass(tp, tuple | BaseException):
            return self._leaf(tp)

        def write(value: Any) -> Any:
            return coder.record(tp).write(value, {})

        def read(data: dict[str, Any]) -> Any:
            return coder.record(tp).read(data)

        return self._make(tp, tp, dict, write, read)

    def _container(self, hint: Any, origin: type, args: tuple[Any, ...]) -> Plan | None:
        if origin in _LISTS and len(args) == 1:
            return self._sequence(hint, list, args[0], lambda items: items)
        if origin in (set, frozenset) and len(args) == 1:
            ordered = self._coder.ordered
            return self._sequence(hint, origin, args[0], ordered)
        if origin is tuple and args:
            if len(args) == 2 and args[1] is Ellipsis:
                return self._sequence(hint, tuple, args[0], lambda items: items)
            return self._fixed_tuple(hint, args)
        if origin in _DICTS and len(args) == 2:
            return self._mapping(hint, *args)
        return None

    def _sequence(self, hint: Any, owner: Any, item: Any, arrange: Callable[[list[Any]], Any]) -> Plan | None:
        part = self.part(item)
        if part is None and owner is list:
            return (
                self._make(hint, list, list, self._coder.encode, self._coder.decode) if self._strict else None
            )
        write, read = (part.encode, part.decode) if part else (self._coder.encode, self._coder.decode)
        return self._make(
            hint,
            owner,
            list,
            lambda value: arrange([write(v) for v in value]),
            lambda data: owner([read(d) for d in data]),
        )

    def _fixed_tuple(self, hint: Any, args: tuple[Any, ...]) -> Plan:
        coder = self._coder
        parts = [self.part(arg) for arg in args]
        writes = [part.encode if part else coder.encode for part in parts]
        reads = [part.decode if part else coder.decode for part in parts]

        def write(value: tuple[Any, ...]) -> Any:
            if len(value) != len(writes):
                return coder.encode(value)
            return [encode(item) for encode, item in zip(writes, value, strict=True)]

        def read(data: list[Any]) -> tuple[Any, ...]:
            if len(data) > len(reads):
                raise TypeError(f"expected {len(reads)} items for {hint!r}, got {len(data)}")
            # Fewer are accepted, as by Temporal's converter.
            return tuple(decode(item) for decode, item in zip(reads, data, strict=False))

        return self._make(hint, tuple, list, write, read)

    def _mapping(self, hint: Any, key: Any, item: Any) -> Plan | None:
        keys, part, coder = self._key(_bare(key)), self.part(item), self._coder
        if keys is None:
            return self._leaf(hint)
        if keys.owner is str and part is None:
            return self._make(hint, dict, dict, coder.encode, coder.decode) if self._strict else None
        write_item, read_item = (part.encode, part.decode) if part else (coder.encode, coder.decode)
        owner = keys.owner

        def write(value: dict[Any, Any]) -> Any:
            out = {keys.encode(k): write_item(v) for k, v in value.items() if type(k) is owner}
            plain = len(out) == len(value) and TAG not in out
            return out if plain else coder.escape(value)

        return self._make(
            hint, dict, dict, write, lambda data: {keys.decode(k): read_item(v) for k, v in data.items()}
        )

    def _key(self, hint: Any) -> Plan | None:
        """The plan of a dict's keys, if their plain form is text."""
        if hint is str or hint is Any:
            return Plan(lambda key: key, lambda key: key, str, str)
        if hint is int:
            return Plan(str, int, int, str)
        plan = self.part(hint)
        return plan if plan is not None and plan.kind is str and hint not in _ZONED else None

    def _typed_dict(self, tp: Any) -> Plan:
        coder = self._coder
        strict = self._strict

        @cache
        def members() -> dict[str, Plan]:
            # On first use, not now: a TypedDict may name itself.
            plans = {name: coder.plan(hint, strict=strict) for name, hint in hints_of(tp).items()}
            return {name: plan for name, plan in plans.items() if plan is not None}

        generic = Plan(coder.encode, coder.decode)

        def write(value: dict[Any, Any]) -> Any:
            if TAG in value or any(type(name) is not str for name in value):
                return coder.escape(value)
            return {name: members().get(name, generic).encode(item) for name, item in value.items()}

        def read(data: dict[str, Any]) -> Any:
            return {name: members().get(name, generic).decode(item) for name, item in data.items()}

        return self._make(tp, dict, dict, write, read)

    def _union(self, hint: Any, members: tuple[Any, ...]) -> Plan | None:
        parts = [(_bare(member), self.part(member)) for member in members]
        if self._strict:
            return self._first_that_fits(
                hint, [(member, part) for member, part in parts if member is not NoneType]
            )
        taken: list[type] = reduce(lambda kinds, p: kinds + _kinds(*p), parts, [])
        plans = [part for _, part in parts if part and part.kind and taken.count(part.kind) == 1]
        if Any in (member for member, _ in parts) or not plans:
            return None
        coder = self._coder
        by_owner = {plan.owner: plan for plan in plans}
        by_kind = {plan.kind: plan for plan in plans}

        def encode(value: Any) -> Any:
            if (plan := by_owner.get(type(value))) is not None:
                return plan.encode(value)
            out = coder.encode(value)
            plan = None if is_tagged(out) else by_kind.get(type(out))
            return plan.encode(value) if plan else out

        def decode(data: Any) -> Any:
            plan = by_kind.get(type(data))
            return plan.decode(data) if plan else coder.decode(data)

        return Plan(encode, decode)

    def _first_that_fits(self, hint: Any, parts: list[tuple[Any, Plan | None]]) -> Plan:
        coder = self._coder
        members = [_bare(member) for member in typing.get_args(hint)]
        # For `int | float`, the default converter would turn 1.5 into 1.
        as_they_are = {tp for tp in (NoneType, bool, int, float) if tp in members}

        def decode(data: Any) -> Any:
            if is_tagged(data) or type(data) in as_they_are:
                return coder.decode(data)
            for _, part in parts:
                if part is None:
                    return coder.decode(data)
                try:
                    return part.decode(data)
                except (TypeError, ValueError, KeyError, ArithmeticError):
                    continue
            raise TypeError(f"no member of {hint!r} fits {type(data).__name__}")

        return Plan(coder.encode, decode)


def _validated(tp: type[BaseModel], data: dict[str, Any], coder: Coder) -> BaseModel:
    text = json.dumps(data)
    return tp.model_validate(coder.decode(data)) if f'"{TAG}"' in text else tp.model_validate_json(text)


def _kinds(member: Any, part: Plan | None) -> list[type]:
    """The JSON types that values of a union's member may be written as."""
    if part is not None and part.kind is not None:
        # The exact Python type counts too: in `tuple[X, ...] | list[Y]` both would be lists.
        return [part.kind] if part.owner is part.kind or part.owner is None else [part.kind, part.owner]
    if typing.get_origin(member) is Literal:
        return [type(value) for value in typing.get_args(member)]
    return [typing.get_origin(member) or member]
