"""Random graphs, described by plain data so that a failing one shrinks to something a person can read."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any

from hypothesis import strategies as st
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

BODIES = ("log", "sum", "last", "ask", "ask twice", "nothing", "fail late", "subgraph", "asking subgraph")
ROUTES = ("edges", "router", "async router", "command", "sends")


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    total: Annotated[int, operator.add]
    last: str


@dataclass(frozen=True)
class Node:
    """What a node does, and where its graph goes from there; `targets` are node numbers, too large ones mean the end."""

    body: str
    route: str
    targets: tuple[int, ...]
    is_async: bool


@dataclass(frozen=True)
class Graph:
    nodes: tuple[Node, ...]
    starts: tuple[int, ...]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 5))
    node = st.builds(
        Node,
        body=st.sampled_from(BODIES),
        route=st.sampled_from(ROUTES),
        targets=st.lists(st.integers(0, count + 1), min_size=1, max_size=2, unique=True).map(tuple),
        is_async=st.booleans(),
    )
    nodes = draw(st.lists(node, min_size=count, max_size=count))
    starts = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=2, unique=True))
    return Graph(tuple(nodes), tuple(starts))


def build(spec: Graph) -> Any:
    """The compiled graph, without a checkpointer."""
    builder = StateGraph(State)
    names = [f"n{number}" for number in range(len(spec.nodes))]

    def name_of(number: int) -> str:
        return names[number] if number < len(names) else END

    for name, node in zip(names, spec.nodes, strict=True):
        targets = [name_of(number) for number in node.targets]
        inner = [target for target in targets if target != END]
        as_command = node.route == "command" and "subgraph" not in node.body
        body = _body(name, node, goto=inner if as_command else None)
        builder.add_node(name, body, destinations=tuple(inner) if as_command and inner else None)
        if not as_command:
            _add_route(builder, name, node.route, targets)
    for number in spec.starts:
        builder.add_edge(START, names[number])
    return builder.compile()


def _body(name: str, node: Node, *, goto: list[str] | None) -> Any:
    if "subgraph" in node.body:
        return _subgraph(name, asks=node.body == "asking subgraph")

    def work(state: State) -> Any:
        update = _update(name, node.body, state)
        return update if goto is None else Command(update=update, goto=goto)

    async def awork(state: State) -> Any:
        return work(state)

    return awork if node.is_async else work


def _update(name: str, body: str, state: State) -> dict[str, Any] | None:
    log = state.get("log", [])
    match body:
        case "sum":
            return {"total": len(log) + 1}
        case "last":
            return {"last": name}
        case "ask":
            return {"log": [interrupt(f"{name} after {len(log)}")]}
        case "ask twice":
            return {"log": [(interrupt(f"{name} first"), interrupt(f"{name} second"))]}
        case "nothing":
            return None
        case "fail late" if len(log) > 4:
            raise ValueError(f"{name} failed")
        case _:
            return {"log": [name]}


def _subgraph(name: str, *, asks: bool) -> Any:
    def first(state: State) -> dict[str, Any]:
        return {"log": [f"{name}/first"], "total": 1}

    def second(state: State) -> dict[str, Any]:
        return {"last": interrupt(f"{name}/second") if asks else f"{name}/second"}

    builder = StateGraph(State)
    builder.add_node("first", first)
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    return builder.compile()


def _add_route(builder: StateGraph[Any], name: str, route: str, targets: list[str]) -> None:
    def choose(state: State) -> str:
        return targets[len(state.get("log", [])) % len(targets)]

    async def achoose(state: State) -> str:
        return choose(state)

    def send(state: State) -> list[Send] | str:
        target = choose(state)
        if target == END or len(state.get("log", [])) > 8:
            return END
        return [Send(target, {"log": [f"sent {number} by {name}"]}) for number in range(2)]

    if route == "sends":
        builder.add_conditional_edges(name, send, [*targets, END])
    elif route in ("router", "async router"):
        builder.add_conditional_edges(name, choose if route == "router" else achoose, targets)
    else:
        for target in targets:
            builder.add_edge(name, target)
