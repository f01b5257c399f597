"""Finding the types that annotations name. Either side; owns nothing.

Tolerant by design: an annotation that cannot be resolved (a name imported only for type checkers, a
class local to a function) is skipped, and a value of such a type is then refused by name when it is met.
"""

import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

import typing_extensions
from pydantic import BaseModel

__all__ = ["hints_of", "is_named_tuple", "is_record", "reachable"]


def is_named_tuple(tp: type) -> bool:
    return issubclass(tp, tuple) and hasattr(tp, "_fields")


def is_record(tp: type) -> bool:
    """Whether a payload can carry instances of this class by name."""
    return (
        dataclasses.is_dataclass(tp) or issubclass(tp, BaseModel | Enum | BaseException) or is_named_tuple(tp)
    )


def hints_of(owner: Any) -> dict[str, Any]:
    """The resolved annotations of a class or function; those that cannot be resolved are left out."""
    if isinstance(owner, type) and issubclass(owner, BaseModel):
        return {name: field.annotation for name, field in owner.model_fields.items()}
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return _hints_one_by_one(owner)


def _hints_one_by_one(owner: Any) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for part in reversed(getattr(owner, "__mro__", (owner,))):
        scope = vars(sys.modules.get(getattr(part, "__module__", ""), types.ModuleType("")))
        for name, hint in getattr(part, "__annotations__", {}).items():
            probe = types.SimpleNamespace(__annotations__={name: hint})
            try:
                hints |= typing.get_type_hints(probe, globalns=scope, localns={}, include_extras=True)
            except (NameError, TypeError, AttributeError, SyntaxError):
                continue
    return hints


def reachable(*roots: Any) -> list[type]:
    """Every class that a payload can carry by name, reached from classes, type hints or functions.

    The order is that of a depth-first walk, so it is the same in every process.
    """
    found: dict[type, None] = {}
    seen: list[Any] = []
    queue: list[Any] = list(roots)
    while queue:
        hint = queue.pop(0)
        if any(hint is other for other in seen):
            continue
        seen.append(hint)
        if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and is_record(hint):
            found[hint] = None
        queue = [*_named_by(hint), *queue]
    return list(found)


def _named_by(hint: Any) -> Iterable[Any]:
    """What one class, hint or function refers to directly."""
    if isinstance(hint, list | tuple):
        return hint
    if isinstance(hint, Enum):
        return (type(hint),)
    for alias in ("__value__", "__supertype__"):
        if (target := getattr(hint, alias, None)) is not None and not isinstance(hint, type):
            return (target,)
    if isinstance(hint, dataclasses.InitVar):
        return (hint.type,)
    if isinstance(hint, typing.TypeVar):
        return (*hint.__constraints__, *([hint.__bound__] if hint.__bound__ else ()))
    if (origin := typing.get_origin(hint)) is not None:
        args = typing.get_args(hint)
        return (args[0],) if origin is typing.Annotated else (origin, *args)
    if isinstance(hint, type):
        walked = is_record(hint) or typing_extensions.is_typeddict(hint)
        return (*hints_of(hint).values(), *_arguments_of_model(hint)) if walked else ()
    if isinstance(hint, Callable):
        return hints_of(hint).values()
    return ()


def _arguments_of_model(tp: type) -> Iterable[Any]:
    # BaseModel itself (LangGraph's Runtime names it in a bound) has no such metadata.
    if not issubclass(tp, BaseModel) or tp is BaseModel:
        return ()
    return tp.__pydantic_generic_metadata__["args"]
