"""Copies of state values for nodes, made as cheaply as is safe.

Side: both. A node may change its input in place; what the workflow sees must not change with it, or live and replayed
state would differ.

A state is mostly a long list of messages, and each step adds a few: copying all of them for every node call would make
steps slower the longer the conversation. `Copies` gives a node the same copies as the node before it, as long as they
still equal the workflow's own messages. One that a node has changed in place is made anew.

Not guaranteed: that nodes which run at the same time have different copies. They do not in LangGraph either.
"""

from __future__ import annotations

import copy
import dataclasses
import weakref
from typing import Any

from pydantic import BaseModel

__all__ = ["Copies", "snapshot"]

_set = object.__setattr__

_CONTAINERS: frozenset[type] = frozenset({dict, list})
_SHARED: frozenset[type] = frozenset({str, int, float, bool, type(None), bytes, complex})


class Copies:
    """The messages that one workflow run has handed out, by the identity of its own. They live as long as those."""

    def __init__(self) -> None:
        # The weak reference takes the entry out before another object can have the same id.
        self._by_id: dict[int, tuple[weakref.ref[Any], Any]] = {}

    def forget(self) -> None:
        """Give nobody what was handed out before: an attempt that was given up may still be changing it."""
        # Not `clear()`: the references of the old entries would take out new ones.
        self._by_id = {}

    def of_items(self, items: list[Any]) -> list[Any]:
        """A snapshot of each item of a list."""
        known = self._by_id.get
        out: list[Any] = []
        for item in items:
            held = known(id(item))
            # Of a long conversation, this comparison is all that a step costs here: no call of our own in its way.
            try:
                if (
                    held is not None
                    and (twin := held[1]).__dict__ == item.__dict__
                    and twin.__pydantic_extra__ == item.__pydantic_extra__
                ):
                    out.append(twin)
                    continue
            except Exception:  # noqa: BLE001 - a node may have put in anything, an array say
                pass
            out.append(item if type(item) in _SHARED else self._new(item))
        return out

    def _new(self, item: Any) -> Any:
        twin = snapshot(item, self)
        kind = type(item)
        if (
            _is_model(kind)
            and kind.__weakrefoffset__
            and not item.__pydantic_private__
            and _is_plain(twin.__dict__)
            and _is_plain(twin.__pydantic_extra__)
        ):
            by_id, key = self._by_id, id(item)

            def drop(_: object) -> None:
                by_id.pop(key, None)

            by_id[key] = (weakref.ref(item, drop), twin)
        return twin


def snapshot(value: Any, copies: Copies | None = None) -> Any:
    """A copy of a state value that shares only what cannot change, or what `copies` holds unchanged.

    Containers, pydantic models and dataclasses are copied by hand: `deepcopy` of a conversation costs more than the rest
    of a step together.
    """
    kind = type(value)
    if kind in _SHARED:
        return value
    if kind is dict:
        return {k: v if type(v) in _SHARED else snapshot(v, copies) for k, v in value.items()}
    if kind is list:
        return [snapshot(item) for item in value] if copies is None else copies.of_items(value)
    if kind is tuple:
        return tuple(snapshot(item, copies) for item in value)
    if _is_model(kind) and kind.__deepcopy__ is BaseModel.__deepcopy__:
        return _snapshot_model(value, kind, copies)
    if _is_plain_dataclass(value, kind):
        twin = object.__new__(kind)
        twin.__dict__.update(snapshot(value.__dict__, copies))
        return twin
    return copy.deepcopy(value)


def _snapshot_model(model: Any, kind: Any, copies: Copies | None) -> Any:
    # As pydantic's own __copy__ does it, but with fresh containers inside.
    twin = kind.__new__(kind)
    fields = model.__dict__.copy()
    for name, value in fields.items():
        field = type(value)
        if field not in _SHARED:
            # Most fields of most messages are empty containers.
            fields[name] = snapshot(value, copies) if value or field not in _CONTAINERS else field()
    extra, private = model.__pydantic_extra__, model.__pydantic_private__
    _set(twin, "__dict__", fields)
    _set(twin, "__pydantic_fields_set__", model.__pydantic_fields_set__.copy())
    _set(twin, "__pydantic_extra__", None if extra is None else snapshot(extra, copies))
    _set(twin, "__pydantic_private__", copy.deepcopy(private) if private else private)
    return twin


def _is_model(kind: Any) -> bool:
    # `isinstance(..., BaseModel)` takes longer than to copy a message's fields.
    return BaseModel in kind.__mro__


def _is_plain(value: Any) -> bool:
    """Whether `==` compares every part of a value, and does nothing else."""
    kind = type(value)
    if kind in _SHARED:
        return True
    if kind is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return (kind is list or kind is tuple) and all(map(_is_plain, value))


def _is_plain_dataclass(value: Any, kind: type) -> bool:
    """Whether a value is all in its `__dict__` and says nothing of how to copy it."""
    return (
        dataclasses.is_dataclass(kind)
        and kind.__new__ is object.__new__
        and kind.__reduce_ex__ is object.__reduce_ex__
        and not hasattr(kind, "__deepcopy__")
        and not hasattr(kind, "__setstate__")
        and not any("__slots__" in vars(base) for base in kind.__mro__[:-1])
    )
