"""The allow-list of types that a payload may name. Either side; owns the mapping between names and classes.

A payload is data from elsewhere: a name in it is looked up here and never imported. Whatever is not listed is
refused, with the fix in the message.

It does not guarantee identity across re-imports: Temporal's sandbox imports a workflow's own module anew for
each run, so a class defined there is a different object from the listed one. `name_of` accepts such a twin by
its name, and a type hint restores the twin; without a hint the listed class is revived.
"""

import sys
from collections.abc import Iterable
from typing import Any, Self

from perdure.errors import PayloadTypeUnknown
from perdure.payloads.discovery import reachable
from perdure.payloads.families import FAMILIES

__all__ = ["TypeRegistry"]

_FAMILY_NAMES = {tp: name for name, tp in FAMILIES.items()}


class TypeRegistry:
    """The types that payloads may carry by name: LangChain's and LangGraph's own, and those added here.

    Args:
        types: dataclasses, Pydantic models, enums, NamedTuples and exceptions. The types that their
            annotations name are added with them.

    Raises:
        TypeError: one of `types` is a class that a payload cannot carry.
    """

    def __init__(self, types: Iterable[type] = ()) -> None:
        self._types = dict(FAMILIES)
        self._names = dict(_FAMILY_NAMES)
        self.compiled: dict[Any, Any] = {}
        """What codecs compiled from this registry; it lives and dies with it, and `add` empties it."""
        for tp in types:
            self.add(tp)

    @classmethod
    def discover(cls, *roots: Any) -> Self:
        """A registry of every type that the given classes, type hints or function signatures name.

        Annotations that cannot be resolved are skipped.
        """
        registry = cls()
        for tp in reachable(*roots):
            registry._put(tp)
        return registry

    def add(self, tp: type) -> None:
        """Allow `tp` and the types that its annotations name.

        Raises:
            TypeError: `tp` is a class that a payload cannot carry.
        """
        found = reachable(tp)
        if not found and isinstance(tp, type) and _is_opaque(tp):
            raise TypeError(
                f"cannot carry {qualified_name(tp)!r} in payloads: it is no dataclass, Pydantic model, enum, "
                "NamedTuple or exception; make it one of these, or keep it out of the state"
            )
        for member in found:
            self._put(member)

    def scoped(self, root: Any) -> "TypeRegistry":
        """This registry together with the types that one class or type hint names, which win over namesakes."""
        extra = [tp for tp in reachable(root) if tp not in self._names]
        if not extra:
            return self
        scope = TypeRegistry()
        scope._types |= self._types
        scope._names |= self._names
        for tp in extra:
            scope._put(tp)
        return scope

    def __contains__(self, tp: type) -> bool:
        return tp in self._names

    def name_of(self, tp: type) -> str | None:
        """The name of an allowed type in payloads, or None."""
        if (name := self._names.get(tp)) is not None:
            return name
        name = qualified_name(tp)
        return name if name in self._types else None

    def find(self, name: str) -> type | None:
        """The class behind a name, or None."""
        return self._types.get(name)

    def resolve(self, name: str) -> type:
        """The class behind a name.

        Raises:
            PayloadTypeUnknown: the name is not on the list.
        """
        try:
            return self._types[name]
        except KeyError:
            raise PayloadTypeUnknown(
                f"a payload names the type {name!r}, which is not allowed here; "
                "add it to the state's annotations, or pass types=[…] with it to PerdurePlugin"
            ) from None

    def _put(self, tp: type) -> None:
        if tp not in self._names:
            name = qualified_name(tp)
            self._names[tp] = name
            self._types[name] = tp
            self.compiled.clear()


def qualified_name(tp: type) -> str:
    return f"{tp.__module__}.{tp.__qualname__}"


def _is_opaque(tp: type) -> bool:
    # TypedDicts, JSON types and the standard library's values need no listing; a user's plain class cannot be listed.
    own = type(tp) is type and tp.__module__.partition(".")[0] not in sys.stdlib_module_names
    return own and not issubclass(tp, dict | list | str | int | float)
