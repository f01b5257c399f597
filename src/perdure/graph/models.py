"""The chat models that a graph's nodes name, and what can be known to be wrong with them without asking anybody.

Side: both. Found are models that a node is, or that its function names, itself or through functions of the same package. One
that is made when the node runs is not seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableBinding, RunnableSequence
from pydantic import SecretStr

from perdure._compat import Pregel
from perdure.graph.task_functions import named_values, plain_function

__all__ = ["ModelProblem", "model_problems"]

_Graph = Pregel[Any, Any, Any, Any]

# Their clients' own retries are switched off while Temporal retries (`perdure._compat.retry_in_temporal`).
_REACHED = ("langchain_anthropic", "langchain_openai")


@dataclass(frozen=True)
class ModelProblem:
    """What is wrong with a model of a node, and what to do about it. "hint": it works, but not as well."""

    level: Literal["wrong", "hint"]
    node: str
    text: str
    fix: str

    def __str__(self) -> str:
        return f"node {self.node!r}: {self.text}: {self.fix}"


def model_problems(graph: _Graph, *, prefix: str = "") -> Iterator[ModelProblem]:
    """What is wrong with the models of a graph and of the graphs in it."""
    for name, node in graph.nodes.items():
        path = f"{prefix}{name}"
        if isinstance(node.bound, Pregel):
            yield from model_problems(node.bound, prefix=f"{path}/")
            continue
        for model in _models_of(node.bound):
            yield from _problems(path, model)


def _problems(path: str, model: BaseChatModel) -> Iterator[ModelProblem]:
    kind = type(model).__name__
    for field, variable in model.lc_secrets.items():
        key = getattr(model, field, None)
        empty = isinstance(key, SecretStr) and not key.get_secret_value()
        if empty and field.endswith("api_key") and not _has_header(model):
            late = " (it is set now, but was not when the model was made)" if os.environ.get(variable) else ""
            yield ModelProblem(
                "wrong", path, f"{kind} has no API key", f"set {variable}{late}, or pass api_key=..."
            )
    retries = getattr(model, "max_retries", None)
    if isinstance(retries, int) and retries > 1 and not _reached(model):
        text = (
            f"{kind} retries by itself, up to {retries} times within each attempt, and Temporal cannot see it"
        )
        yield ModelProblem("hint", path, text, "give it max_retries=0, or 1 where that means no retry")


def _has_header(model: BaseChatModel) -> bool:
    headers: Any = getattr(model, "default_headers", None) or {}
    return any(str(name).lower() in ("authorization", "x-api-key") for name in headers)


def _reached(model: BaseChatModel) -> bool:
    return any(cls.__module__.partition(".")[0] in _REACHED for cls in type(model).__mro__)


def _models_of(bound: Any) -> Iterator[BaseChatModel]:
    todo, seen = [bound], set[int]()
    packages = {_package(getattr(bound, name, None)) for name in ("func", "afunc")}
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, BaseChatModel):
            yield value
        elif isinstance(value, RunnableBinding):
            todo.append(value.bound)
        elif isinstance(value, RunnableSequence):
            todo.extend(value.steps)
        else:
            functions = (
                [getattr(value, "func", None), getattr(value, "afunc", None)] if value is bound else [value]
            )
            for function in functions:
                plain = plain_function(function)
                if plain is not None and _package(plain) in packages:
                    todo.extend(v for v in named_values(plain, function) if isinstance(v, _LEADS))


_LEADS = (BaseChatModel, RunnableBinding, RunnableSequence, FunctionType)


def _package(value: Any) -> str:
    return (getattr(plain_function(value), "__module__", None) or "").partition(".")[0]
