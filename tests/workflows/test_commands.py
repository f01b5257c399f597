"""`Command`, `Send`, routers, cycles: every way in which a graph says what comes next."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict


class State(TypedDict):
    log: Annotated[list[str], operator.add]
    messages: Annotated[list[AnyMessage], add_messages]
    count: int


def graph_of(nodes: dict[str, Any], *edges: tuple[Any, str], **routers: Any) -> Any:
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node)
    for start, end in edges:
        builder.add_edge(start, end)
    for name, router in routers.items():
        builder.add_conditional_edges(START if name == "start" else name, router, [*nodes, END])
    return builder.compile()


def say(text: str) -> Any:
    return lambda state: {"log": [text]}


class Piece(TypedDict):
    number: int


GOTOS: dict[str, Any] = {
    "a name": lambda: Command(update={"log": ["first"]}, goto="a"),
    "a list": lambda: Command(update=[("log", ["first"])], goto=["a", "b"]),
    "the end": lambda: Command(update={"log": ["first"]}, goto=END),
    "a send": lambda: Command(goto=Send("piece", {"number": 1})),
    "sends and a name": lambda: Command(
        goto=["a", Send("piece", {"number": 1}), Send("piece", {"number": 2})]
    ),
    "a list of commands": lambda: [
        Command(update={"log": ["one"]}, goto="a"),
        Command(update={"log": ["two"]}, goto="b"),
    ],
    "a mixed list": lambda: [{"log": ["one"]}, Command(update={"count": 2}, goto="b")],
    "an empty command": lambda: Command(),
    "an update of nothing": lambda: Command(update=None, goto="b"),
}


@pytest.mark.compat(
    "Control flow: `Command` (`update`, `goto` a name, a list, `Send`s), lists of commands and updates"
)
@pytest.mark.parametrize("name", list(GOTOS))
async def test_what_a_node_returns_decides_what_comes_next(same: Any, name: str) -> None:
    graph = graph_of(
        {
            "first": lambda state: GOTOS[name](),
            "a": say("a"),
            "b": say("b"),
            "piece": lambda piece: {"log": [f"piece {piece['number']}"]},
        },
        (START, "first"),
    )
    await same(graph, {"log": ["in"], "count": 0})


# Each result that comes alone costs a replay of all branches: the many of them run cached, as in production.
@pytest.mark.compat("Control flow: `Send`, nested and by the hundred, to nodes and subgraphs")
@pytest.mark.parametrize(("branches", "replay"), [(300, False), (50, True)])
async def test_hundreds_of_branches(same: Any, branches: int, replay: bool) -> None:
    def piece(state: Piece) -> dict[str, Any]:
        return {"log": [str(state["number"])]}

    graph = graph_of(
        {"split": say("split"), "piece": piece, "join": lambda state: {"count": len(state["log"])}},
        (START, "split"),
        ("piece", "join"),
        split=lambda state: [Send("piece", {"number": n}) for n in range(branches)],
    )
    result = await same(graph, {"log": []}, replay_every_task=replay)
    assert result["count"] == branches + 1
    assert result["log"][1:] == [str(n) for n in range(branches)]


@pytest.mark.compat("Control flow: `Send`, nested and by the hundred, to nodes and subgraphs")
async def test_sends_that_send(same: Any) -> None:
    def outer(state: dict[str, Any]) -> Command[Any]:
        return Command(
            update={"log": [f"outer {state['number']}"]},
            goto=[Send("inner", {"number": state["number"] * 10 + n}) for n in range(2)],
        )

    graph = graph_of(
        {"outer": outer, "inner": lambda state: {"log": [f"inner {state['number']}"]}},
        start=lambda state: [Send("outer", {"number": n}) for n in range(3)],
    )
    result = await same(graph, {"log": []})
    assert result["log"] == [
        *(f"outer {n}" for n in range(3)),
        *(f"inner {n}" for n in (0, 1, 10, 11, 20, 21)),
    ]


@pytest.mark.compat("Control flow: `Send`, nested and by the hundred, to nodes and subgraphs")
async def test_a_send_to_a_subgraph_with_its_own_input(same: Any) -> None:
    class Inner(TypedDict):
        number: int
        log: Annotated[list[str], operator.add]

    inner = StateGraph(Inner)
    inner.add_node("ask", lambda state: {"log": [f"{state['number']}: {interrupt(state['number'])}"]})
    inner.add_edge(START, "ask")
    builder = StateGraph(State)
    builder.add_node("inner", inner.compile())
    builder.add_conditional_edges(
        START, lambda state: [Send("inner", {"number": n, "log": []}) for n in range(3)], ["inner"]
    )
    result = await same(builder.compile(), {"log": []}, answer=lambda number: f"answer {number}")
    assert result["log"] == [f"{n}: answer {n}" for n in range(3)]


async def aroute(state: State) -> Any:
    return ["a", Send("piece", {"number": 5})]


ROUTERS: dict[str, Any] = {
    "a name": lambda state: "a",
    "the end": lambda state: END,
    "a list": lambda state: ["a", "b"],
    "names and sends": lambda state: ["b", Send("piece", {"number": 3})],
    "async": aroute,
}


@pytest.mark.compat("Control flow: routers, sync and async, to names, lists, `Send`s; path maps")
@pytest.mark.parametrize("name", list(ROUTERS))
async def test_routers(same: Any, name: str) -> None:
    nodes = {
        "first": say("first"),
        "a": say("a"),
        "b": say("b"),
        "piece": lambda p: {"log": [str(p["number"])]},
    }
    graph = graph_of(nodes, (START, "first"), first=ROUTERS[name])
    await same(graph, {"log": []})


@pytest.mark.compat("Control flow: routers, sync and async, to names, lists, `Send`s; path maps")
async def test_a_path_map_translates_what_a_router_says(same: Any) -> None:
    builder = StateGraph(State)
    builder.add_node("yes", say("yes"))
    builder.add_node("no", say("no"))
    builder.add_conditional_edges(START, lambda state: state["count"] > 1, {True: "yes", False: "no"})
    builder.add_conditional_edges("no", lambda state: "over", {"over": END})
    graph = builder.compile()
    assert (await same(graph, {"log": [], "count": 2}))["log"] == ["yes"]
    assert (await same(graph, {"log": [], "count": 1}))["log"] == ["no"]


@pytest.mark.compat("Control flow: `recursion_limit`, cycles")
async def test_a_cycle_ends_by_itself_or_at_the_recursion_limit(same: Any) -> None:
    def again(state: State) -> Command[Any]:
        return Command(update={"count": state["count"] + 1}, goto="again" if state["count"] < 20 else END)

    graph = graph_of({"again": again}, (START, "again"))
    assert (await same(graph, {"count": 0}))["count"] == 21
    error = await same(graph, {"count": 0}, config={"recursion_limit": 7})
    assert error.cause_type == "GraphRecursionError"
    assert "recursion_limit" in str(error)


WRONG: dict[str, Any] = {
    "a router that names an unknown node": lambda state: "nowhere",
    "a router that sends to an unknown node": lambda state: [Send("nowhere", {})],
    "a router that says nothing": lambda state: None,
}


@pytest.mark.parametrize("name", list(WRONG))
async def test_what_leads_nowhere_is_as_in_langgraph(same: Any, name: str) -> None:
    builder = StateGraph(State).add_node("first", say("first")).add_edge(START, "first")
    builder.add_conditional_edges("first", WRONG[name])
    await same(builder.compile(), {"log": []})


@pytest.mark.parametrize("value", ["text", 5, ["text"], {"unknown": 1}])
async def test_a_node_that_returns_no_update_is_as_in_langgraph(same: Any, value: Any) -> None:
    await same(graph_of({"node": lambda state: value}, (START, "node")), {"log": ["in"]})


@pytest.mark.compat("Agents: tools that return `Command`")
async def test_commands_of_tools(same: Any) -> None:
    @tool
    def note(text: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Write a note."""
        return Command(
            update={"log": [text], "messages": [ToolMessage("noted", tool_call_id=tool_call_id)]},
            goto="after",
        )

    @tool
    def fan(tool_call_id: Annotated[str, InjectedToolCallId], state: Annotated[Any, InjectedState]) -> Any:
        """Do several things."""
        return [
            Command(update={"messages": [ToolMessage("fanned", tool_call_id=tool_call_id)]}),
            Command(goto=[Send("piece", {"number": len(state["messages"])})]),
        ]

    calls = [
        {"name": "note", "args": {"text": "hello"}, "id": "1"},
        {"name": "fan", "args": {}, "id": "2"},
    ]
    graph = graph_of(
        {
            "model": lambda state: {"messages": [AIMessage("", tool_calls=calls)]},
            "tools": ToolNode([note, fan]),
            "after": say("after"),
            "piece": lambda piece: {"log": [f"piece {piece['number']}"]},
        },
        (START, "model"),
        ("model", "tools"),
    )
    result = await same(graph, {"log": [], "messages": [("user", "go")]})
    assert sorted(result["log"]) == ["after", "hello", "piece 2"]
