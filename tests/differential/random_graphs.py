"""Random graphs, described by plain data so that a failing one shrinks to something a person can read."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Annotated, Any

from hypothesis import strategies as st
from langgraph.errors import NodeError
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, RetryPolicy, Send, interrupt
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

BODIES = (
    "log",
    "sum",
    "last",
    "best",
    "found",
    "everything",
    "nothing",
    "ask",
    "ask twice",
    "fail late",
    "flaky",
    "handled",
    "handled elsewhere",
    "subgraph",
    "asking subgraph",
    "deep subgraph",
    "parent command",
    "called subgraph",
    "asking called subgraph",
)
ROUTES = (
    "edges",
    "router",
    "async router",
    "router to all",
    "command",
    "command to all",
    "sends",
    "command with sends",
)
STATES = ("typed dict", "dataclass", "pydantic")
_MANY = 8
"""With so many log entries nothing is sent any more, else sends would double for ever."""


def _merge(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    return {**left, **{key: left.get(key, 0) + value for key, value in right.items()}}


def _larger(left: int, right: int) -> int:
    return max(left, right)


class TypedDictState(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    total: Annotated[int, operator.add]
    best: Annotated[int, _larger]
    found: Annotated[dict[str, int], _merge]
    last: str


@dataclass
class DataclassState:
    log: Annotated[list[Any], operator.add] = field(default_factory=list)
    total: Annotated[int, operator.add] = 0
    best: Annotated[int, _larger] = 0
    found: Annotated[dict[str, int], _merge] = field(default_factory=dict)
    last: str = ""


class PydanticState(BaseModel):
    log: Annotated[list[Any], operator.add] = Field(default_factory=list)
    total: Annotated[int, operator.add] = 0
    best: Annotated[int, _larger] = 0
    found: Annotated[dict[str, int], _merge] = Field(default_factory=dict)
    last: str = ""


class Inner(TypedDict, total=False):
    """The schema of a subgraph that a node calls by itself."""

    said: Annotated[list[str], operator.add]


_SCHEMAS = {"typed dict": TypedDictState, "dataclass": DataclassState, "pydantic": PydanticState}


@dataclass(frozen=True)
class Node:
    """What a node does, and where its graph goes from there; `targets` are node numbers, too large ones mean the end."""

    body: str
    route: str
    targets: tuple[int, ...]
    is_async: bool = False
    defer: bool = False


@dataclass(frozen=True)
class Graph:
    """`joins` are edges that wait for several nodes: their numbers, and last the node that waits."""

    nodes: tuple[Node, ...]
    starts: tuple[int, ...] = (0,)
    joins: tuple[tuple[int, int, int], ...] = ()
    state: str = "typed dict"

    def __str__(self) -> str:
        lines = [f"state: {self.state}, starts at {', '.join(f'n{number}' for number in self.starts)}"]
        for number, node in enumerate(self.nodes):
            kind = "async " * node.is_async + "deferred " * node.defer
            targets = ", ".join(_name(target, len(self.nodes)) for target in node.targets)
            lines.append(f"n{number}: {kind}{node.body!r}, then by {node.route} to {targets}")
        lines += [
            f"n{first} and n{second}, when both are done, to n{last}" for first, second, last in self.joins
        ]
        return "\n".join(lines)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 5))
    inside = st.integers(0, count - 1)
    return Graph(
        nodes=tuple(draw(_nodes(number, count)) for number in range(count)),
        starts=tuple(draw(st.lists(inside, min_size=1, max_size=2, unique=True))),
        joins=tuple(draw(st.lists(st.tuples(inside, inside, inside), max_size=1))),
        state=draw(st.sampled_from(STATES)),
    )


def _nodes(number: int, count: int) -> st.SearchStrategy[Node]:
    # Mostly onwards: a graph of loops alone asks, or runs, until it is stopped.
    onwards = range(number + 1, count + 2)
    target = st.sampled_from([*onwards, *onwards, *range(count)])
    return st.builds(
        Node,
        body=st.sampled_from(BODIES),
        route=st.sampled_from(ROUTES),
        targets=st.lists(target, min_size=1, max_size=2, unique=True).map(tuple),
        is_async=st.booleans(),
        defer=st.sampled_from([False, False, False, True]),
    )


def reached(spec: Graph) -> tuple[Any, ...]:
    """The part of a graph that can run at all: two graphs of which it is the same do the same."""
    seen: dict[int, None] = {}
    todo = list(spec.starts)
    while todo:
        number = todo.pop(0)
        if number < len(spec.nodes) and number not in seen:
            seen[number] = None
            todo += [*spec.nodes[number].targets, *(join[2] for join in spec.joins if number in join[:2])]
    return spec.state, spec.starts, spec.joins, [(number, spec.nodes[number]) for number in seen]


def build(spec: Graph, calls: list[str]) -> Any:
    """The compiled graph, without a checkpointer. Its nodes note their names in `calls` whenever they run.

    Raises:
        ValueError: where LangGraph refuses the graph.
    """
    builder = StateGraph(_SCHEMAS[spec.state])
    for number, node in enumerate(spec.nodes):
        name = _name(number, len(spec.nodes))
        targets = [_name(target, len(spec.nodes)) for target in node.targets]
        options: dict[str, Any] = {"defer": node.defer}
        if node.body == "flaky":
            options["retry_policy"] = RetryPolicy(
                initial_interval=0.001, jitter=False, max_attempts=3, retry_on=OSError
            )
        if node.body.startswith("handled"):
            options["error_handler"] = _handler(name, targets if "elsewhere" in node.body else None)
        builder.add_node(name, _body(name, node, targets, spec, calls), **options)
        if not (node.route.startswith("command") and _is_function(node)):
            _add_route(builder, name, node.route, targets)
    for number in spec.starts:
        builder.add_edge(START, _name(number, len(spec.nodes)))
    for *sources, target in spec.joins:
        builder.add_edge([f"n{source}" for source in sources], f"n{target}")
    return builder.compile()


def _name(number: int, count: int) -> str:
    return f"n{number}" if number < count else END


def _get(state: Any, name: str, default: Any) -> Any:
    """Of a state of any kind, or of what was sent."""
    return state.get(name, default) if isinstance(state, dict) else getattr(state, name)


def _is_function(node: Node) -> bool:
    return "subgraph" not in node.body or "called" in node.body


def _body(name: str, node: Node, targets: list[str], spec: Graph, calls: list[str]) -> Any:
    if not _is_function(node):
        return _subgraph(name, _SCHEMAS[spec.state], calls, deep="deep" in node.body, asks="ask" in node.body)
    if node.body == "parent command":
        return _commanding_subgraph(name, _SCHEMAS[spec.state], calls, targets[0])
    if "called" in node.body:
        inner = _inner(name, calls, asks="ask" in node.body)

        async def acall(state: Any) -> Any:
            return after(state, {"log": (await inner.ainvoke({"said": []}))["said"]})

        def call(state: Any) -> Any:
            return after(state, {"log": inner.invoke({"said": []})["said"]})

    else:

        async def acall(state: Any, runtime: Runtime[Any]) -> Any:
            return call(state, runtime)

        def call(state: Any, runtime: Runtime[Any]) -> Any:
            calls.append(name)
            return after(state, _update(name, node.body, state, runtime))

    def after(state: Any, update: dict[str, Any] | None) -> Any:
        return (
            _command(name, node.route, targets, state, update) if node.route.startswith("command") else update
        )

    return acall if node.is_async else call


def _update(name: str, body: str, state: Any, runtime: Runtime[Any]) -> dict[str, Any] | None:
    length = len(_get(state, "log", []))
    match body:
        case "sum":
            return {"total": length + 1}
        case "last":
            return {"last": name}
        case "best":
            return {"best": length * 7 % 5}
        case "found":
            return {"found": {name: 1, "all": length}}
        case "everything":
            return {"log": [name], "total": 1, "best": length, "found": {name: length}, "last": name}
        case "ask":
            return {"log": [interrupt(f"{name} after {length}")]}
        case "ask twice":
            return {"log": [interrupt(f"{name} first"), interrupt(f"{name} second")]}
        case "nothing":
            return None
        case "flaky":
            assert runtime.execution_info is not None
            if (attempt := runtime.execution_info.node_attempt) < 3:
                raise OSError(f"{name} failed")
            return {"log": [f"{name} at attempt {attempt}"]}
        case "fail late" if length > 4:
            raise ValueError(f"{name} failed")
        case "handled" | "handled elsewhere":
            raise ValueError(f"{name} failed at {length}")
        case _:
            return {"log": [name]}


def _handler(name: str, goto: list[str] | None) -> Any:
    def handle(state: Any, error: NodeError) -> Any:
        update = {"log": [f"{error.node} was handled"], "total": 1}
        return update if goto is None else Command(update=update, goto=goto[:1])

    handle.__name__ = f"handle_{name}"
    return handle


def _choose(targets: list[str], state: Any) -> str:
    return targets[len(_get(state, "log", [])) % len(targets)]


def _sends(name: str, targets: list[str], state: Any) -> list[Send]:
    target = _choose(targets, state)
    if target == END or len(_get(state, "log", [])) > _MANY:
        return []
    return [Send(target, {"log": [f"sent {number} by {name}"]}) for number in range(2)]


def _command(name: str, route: str, targets: list[str], state: Any, update: Any) -> Command[Any]:
    goto: Any = {
        "command": [_choose(targets, state)],
        "command to all": targets,
        "command with sends": [*_sends(name, targets, state), *targets[1:]],
    }[route]
    return Command(update=update, goto=[to for to in goto if to != END])


def _subgraph(name: str, schema: Any, calls: list[str], *, deep: bool, asks: bool) -> Any:
    def first(state: Any) -> dict[str, Any]:
        calls.append(f"{name}/first")
        return {"log": [f"{name}/first"], "total": 1}

    def second(state: Any) -> dict[str, Any]:
        calls.append(f"{name}/second")
        return {"last": interrupt(f"{name}/second") if asks else f"{name}/second"}

    builder = StateGraph(schema)
    builder.add_node("first", first)
    builder.add_node(
        "second", _subgraph(f"{name}/second", schema, calls, deep=False, asks=True) if deep else second
    )
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    return builder.compile()


def _commanding_subgraph(name: str, schema: Any, calls: list[str], target: str) -> Any:
    def leave(state: Any) -> Command[Any]:
        calls.append(f"{name}/leave")
        return Command(
            graph=Command.PARENT, update={"log": [f"{name}/leave"]}, goto=[] if target == END else target
        )

    builder = StateGraph(schema)
    builder.add_node("leave", leave)
    builder.add_edge(START, "leave")
    return builder.compile()


def _inner(name: str, calls: list[str], *, asks: bool) -> Any:
    def speak(state: Inner) -> Inner:
        calls.append(f"{name}/speak")
        return {"said": [f"{name} speaks"]}

    def listen(state: Inner) -> Inner:
        calls.append(f"{name}/listen")
        return {"said": [interrupt(f"{name} listens")] if asks else ["nothing"]}

    builder = StateGraph(Inner)
    builder.add_node("speak", speak)
    builder.add_node("listen", listen)
    builder.add_edge(START, "speak")
    builder.add_edge("speak", "listen")
    return builder.compile()


def _add_route(builder: StateGraph[Any], name: str, route: str, targets: list[str]) -> None:
    def choose(state: Any) -> str:
        return _choose(targets, state)

    async def achoose(state: Any) -> str:
        return _choose(targets, state)

    def choose_all(state: Any) -> list[str]:
        return targets

    def send(state: Any) -> list[Send] | str:
        return _sends(name, targets, state) or END

    chosen = {"router": choose, "async router": achoose, "router to all": choose_all, "sends": send}.get(
        route
    )
    if chosen is not None:
        builder.add_conditional_edges(name, chosen, [*dict.fromkeys([*targets, END])])
        return
    for target in targets:
        builder.add_edge(name, target)
