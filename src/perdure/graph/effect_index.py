"""The effects that a worker's graphs can call, by id: how an activity finds the function that another one named.

Side: both; one per worker. Found are effects on nodes and tools, and those that their functions name, also through
functions of the same package. Any other is given to the worker by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

from langchain_core.tools import BaseTool

from perdure._compat import Pregel
from perdure.errors import ConfigError, EffectUnknown
from perdure.graph.effect import EffectSpec, effect_spec
from perdure.graph.task_functions import named_values, plain_function

__all__ = ["EffectIndex"]


class EffectIndex:
    """Refused at construction: two different effects with one id."""

    def __init__(self, graphs: Iterable[Pregel[Any, Any, Any, Any]], extra: Iterable[Any] = ()) -> None:
        self._specs: dict[str, EffectSpec] = {}
        for value in extra:
            spec = effect_spec(value)
            if spec is None:
                raise ConfigError(f"effects=[...] takes functions and tools with @effect, not {value!r}")
            self._add(spec)
        for graph in graphs:
            for spec in _effects_of(graph):
                self._add(spec)

    def __iter__(self) -> Iterator[EffectSpec]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)

    def __getitem__(self, id: str) -> EffectSpec:
        """Raises EffectUnknown: this worker's code has no such effect."""
        try:
            return self._specs[id]
        except KeyError:
            raise EffectUnknown(
                f"this worker knows no effect {id!r}: run the same code on all workers of a task queue, and name the "
                "effect in the node's module or in PerdurePlugin(effects=[...])"
            ) from None

    def check(self, spec: EffectSpec) -> None:
        """Raises EffectUnknown: another worker would not find that one."""
        if self[spec.id] is not spec:
            raise EffectUnknown(f"effect {spec.name!r} is not the one that the worker knows as {spec.id!r}")

    def _add(self, spec: EffectSpec) -> None:
        known = self._specs.setdefault(spec.id, spec)
        if known is not spec:
            raise ConfigError(
                f"two effects are called {spec.id!r}: give one of them another name, @effect(name=...)"
            )


def _effects_of(graph: Pregel[Any, Any, Any, Any]) -> Iterator[EffectSpec]:
    for node in graph.nodes.values():
        if isinstance(node.bound, Pregel):
            yield from _effects_of(node.bound)
            continue
        tools: dict[str, Any] = getattr(node.bound, "tools_by_name", {})
        roots = [*tools.values(), getattr(node.bound, "func", None), getattr(node.bound, "afunc", None)]
        yield from _reachable([root for root in roots if root is not None])


def _reachable(roots: list[Any]) -> Iterator[EffectSpec]:
    todo, seen = list(roots), set[int]()
    packages = {_package(root) for root in roots}
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if (spec := effect_spec(value)) is not None:
            yield spec
            value = spec.function
        if isinstance(value, BaseTool):
            todo.extend(f for f in (getattr(value, "func", None), getattr(value, "coroutine", None)) if f)
            continue
        plain = plain_function(value)
        if plain is not None and (value in roots or _package(plain) in packages):
            named = named_values(plain, value)
            todo.extend(v for v in named if isinstance(v, (FunctionType, BaseTool)) or effect_spec(v))


def _package(value: Any) -> str:
    function = plain_function(value)
    return (getattr(function, "__module__", None) or "").partition(".")[0]
