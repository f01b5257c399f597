"""What a graph's schemas and functions say about the types that its payloads may hold.

Side: both.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from types import FunctionType
from typing import Any

from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langgraph.prebuilt import ToolNode
from pydantic import BaseModel

from perdure._compat import Pregel, RunnableCallable, RunnableSeq
from perdure.graph.task_functions import named_tasks, named_values, plain_function

__all__ = ["graph_modules", "graph_types"]

_Graph = Pregel[Any, Any, Any, Any]

# LangChain's, which need not be installed.
_RESPONSE_FORMATS = "langchain.agents.structured_output"

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


def graph_types(graph: _Graph) -> Iterator[Any]:
    """Annotations, functions and classes from which the payload allow-list of a graph is discovered.

    These are: its state, input, output, node and context schemas, its node functions and tools, the answers that its
    agents are asked for, and the data classes (dataclass, pydantic, enum, named tuple) and exceptions of the modules in which those are
    written. The same of the graphs that are its nodes or that its functions and tools name.
    """
    for one in _graphs(graph):
        yield from _schemas(one)
        for channel in one.channels.values():
            for side in ("ValueType", "UpdateType"):
                annotation = getattr(channel, side, None)
                if annotation is not None:
                    yield annotation
        for function in _functions(one):
            yield function
            for value in _named(function):
                if type(value).__module__ == _RESPONSE_FORMATS:
                    yield value.schema
                    yield from (spec.schema for spec in getattr(value, "schema_specs", ()))
    for module in sorted(graph_modules(graph)):
        yield from _data_classes(module)


def graph_modules(graph: _Graph) -> set[str]:
    """The names of the user's modules in which a graph's schemas, node functions and tools are written."""
    modules: set[str] = set()
    for one in _graphs(graph):
        modules |= {getattr(value, "__module__", "") for value in (*_schemas(one), *_functions(one))}
    return {module for module in modules if module and module.partition(".")[0] not in _NOT_THE_USERS}


def _graphs(graph: _Graph) -> list[_Graph]:
    """The graph, those that are its nodes, and those that its functions and tools name; each once, in a stable order."""
    found: dict[int, _Graph] = {}
    todo = [graph]
    while todo:
        one = todo.pop(0)
        if id(one) in found:
            continue
        found[id(one)] = one
        todo += [
            part for node in one.nodes.values() for part in _parts(node.bound) if isinstance(part, Pregel)
        ]
        todo += [
            value for function in _functions(one) for value in _named(function) if isinstance(value, Pregel)
        ]
    return list(found.values())


def _schemas(graph: _Graph) -> Iterator[Any]:
    builder = getattr(graph, "builder", None)
    yield from getattr(builder, "schemas", ()) or ()
    if graph.context_schema is not None:
        yield graph.context_schema


def _functions(graph: _Graph) -> list[Any]:
    parts = [part for node in graph.nodes.values() for part in _parts(node.bound)]
    functions = [part for part in parts if not isinstance(part, Pregel)]
    return functions + [task.func for function in functions for task in named_tasks(function)]


def _parts(bound: Any) -> Iterator[Any]:
    """The graphs and functions that a runnable is made of."""
    if isinstance(bound, Pregel):
        yield bound
    elif isinstance(bound, RunnableSeq | RunnableSequence):
        for step in bound.steps:
            yield from _parts(step)
    elif isinstance(bound, RunnableParallel):
        for step in bound.steps__.values():
            yield from _parts(step)
    elif isinstance(bound, RunnableBindingBase):
        yield from _parts(bound.bound)
    elif isinstance(bound, ToolNode):
        for tool in bound.tools_by_name.values():
            yield from (tool.args_schema, *_own_functions(tool, "func", "coroutine"))
    elif isinstance(bound, RunnableCallable | RunnableLambda):
        yield from _own_functions(bound, "func", "afunc")


def _own_functions(owner: Any, *names: str) -> Iterator[Any]:
    for name in names:
        if (function := getattr(owner, name, None)) is not None:
            function = inspect.unwrap(getattr(function, "func", function))
            # An object that is called like a function: its class has the annotations.
            yield function if inspect.isroutine(function) else vars(type(function)).get("__call__", function)


def _named(function: Any) -> Iterator[Any]:
    """What a function, and those of the same package that it names, name; containers are looked into."""
    todo, seen = [function], set[int]()
    while todo:
        one = todo.pop()
        plain = plain_function(one)
        if plain is None or id(plain) in seen:
            continue
        seen.add(id(plain))
        for value in named_values(plain, one):
            if isinstance(value, dict | list | tuple):
                yield from value.values() if isinstance(value, dict) else value
            elif isinstance(value, FunctionType) and _package(value) == _package(plain):
                todo.append(value)
            else:
                yield value


def _package(function: FunctionType) -> str:
    return function.__module__.partition(".")[0]


def _data_classes(module: str) -> Iterator[type]:
    loaded = sys.modules.get(module)
    if loaded is None:
        return
    for value in list(vars(loaded).values()):
        if not inspect.isclass(value) or value.__module__.partition(".")[0] in _NOT_THE_USERS:
            continue
        if (
            is_dataclass(value)
            or issubclass(value, (BaseModel, Enum, BaseException))
            or (issubclass(value, tuple) and hasattr(value, "_fields"))
        ):
            yield value
