"""What a graph's schemas and functions say about the types that its payloads may hold.

Side: both.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, get_type_hints

from pydantic import BaseModel

from perdure._compat import Pregel, RunnableCallable, RunnableSeq

__all__ = ["graph_modules", "graph_types"]

_NOT_THE_USERS = frozenset(
    {
        "builtins",
        "enum",
        "functools",
        "langchain",
        "langchain_core",
        "langgraph",
        "pydantic",
        "typing",
        "typing_extensions",
    }
)


def graph_types(graph: Pregel[Any, Any, Any, Any]) -> Iterator[Any]:
    """Annotations and classes from which the payload allow-list of a graph is discovered.

    These are: its state, input, output, node and context schemas, the annotations of its node functions, and the data
    classes (dataclass, pydantic, enum, named tuple) of the modules in which those are written.
    """
    yield from _schemas(graph)
    for channel in graph.channels.values():
        for side in ("ValueType", "UpdateType"):
            annotation = getattr(channel, side, None)
            if annotation is not None:
                yield annotation
    for node in graph.nodes.values():
        if isinstance(node.bound, Pregel):
            yield from graph_types(node.bound)
        else:
            for function in _functions(node.bound):
                yield from _annotations(function)
    for module in sorted(graph_modules(graph)):
        yield from _data_classes(module)


def graph_modules(graph: Pregel[Any, Any, Any, Any]) -> set[str]:
    """The names of the user's modules in which a graph's schemas and node functions are written."""
    modules = {getattr(schema, "__module__", "") for schema in _schemas(graph)}
    for node in graph.nodes.values():
        if isinstance(node.bound, Pregel):
            modules |= graph_modules(node.bound)
        else:
            modules |= {getattr(function, "__module__", "") for function in _functions(node.bound)}
    return {module for module in modules if module and module.partition(".")[0] not in _NOT_THE_USERS}


def _schemas(graph: Pregel[Any, Any, Any, Any]) -> Iterator[Any]:
    builder = getattr(graph, "builder", None)
    yield from getattr(builder, "schemas", ()) or ()
    if graph.context_schema is not None:
        yield graph.context_schema


def _functions(bound: Any) -> Iterator[Any]:
    steps = bound.steps if isinstance(bound, RunnableSeq) else [bound]
    for step in steps:
        if isinstance(step, RunnableCallable):
            for function in (step.func, step.afunc):
                if function is not None:
                    yield inspect.unwrap(getattr(function, "func", function))


def _annotations(function: Any) -> Iterator[Any]:
    try:
        hints = get_type_hints(function)
    except Exception:  # noqa: BLE001 - annotations are the user's code; what cannot be resolved is not needed
        return
    yield from hints.values()


def _data_classes(module: str) -> Iterator[type]:
    loaded = sys.modules.get(module)
    if loaded is None:
        return
    for value in list(vars(loaded).values()):
        if not inspect.isclass(value) or value.__module__.partition(".")[0] in _NOT_THE_USERS:
            continue
        if (
            is_dataclass(value)
            or issubclass(value, (BaseModel, Enum))
            or (issubclass(value, tuple) and hasattr(value, "_fields"))
        ):
            yield value
