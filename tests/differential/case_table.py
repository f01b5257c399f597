"""The table that hand-written cases enter themselves into, and what they are written with."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Annotated, Any

from comparison import Case
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

CASES: dict[str, Case] = {}
Calls = list[str]


class Log(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    last: Any


START_LOG: Log = {"log": ["start"]}


def case(*inputs: Any, **options: Any) -> Callable[[Callable[[Calls], Any]], Callable[[Calls], Any]]:
    """Enters the decorated builder, under its own name, with the runs' inputs and further options of `Case`."""

    def enter(build: Callable[[Calls], Any]) -> Callable[[Calls], Any]:
        name = build.__name__.replace("_", "-")
        assert name not in CASES
        CASES[name] = Case(build, inputs or (START_LOG,), **options)
        return build

    return enter


def step(calls: Calls, name: str, **update: Any) -> Any:
    """A node that notes its call, and writes its name to the log (or just `update`)."""

    def node(state: Any) -> dict[str, Any]:
        calls.append(name)
        return dict(update) if update else {"log": [name]}

    node.__name__ = name
    return node


def graph(*nodes: Any, edges: str = "", schema: Any = Log, **options: Any) -> Any:
    """A builder with these nodes, and edges such as `"a b c, b d"`: each word leads to the next; `>` is the start."""
    builder: Any = StateGraph(schema, **options)
    for node in nodes:
        builder.add_node(node.__name__, node)
    for chain in filter(None, edges.split(",")):
        words = [START if word == ">" else word for word in chain.split()]
        for source, target in itertools.pairwise(words):
            builder.add_edge(source, target)
    return builder


def chain(calls: Calls, *names: str, **options: Any) -> Any:
    """A builder of `step`s, one after the other."""
    return graph(*(step(calls, name) for name in names), edges="> " + " ".join(names), **options)
