"""Which of the user's types a graph's payloads may hold."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from perdure.graph.registry import GraphRegistry
from perdure.testing import ScriptedChatModel


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


def allowed(graph: Any) -> Callable[[type], bool]:
    types = GraphRegistry({"g": graph}).types
    return lambda tp: tp in types


def graph_of(node: Any) -> Any:
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile()


def local_types() -> tuple[Any, Any, Any]:
    """Types that no module names, so that only what refers to them can lead to them."""

    @dataclass
    class Data:
        value: int

    class Model(BaseModel):
        value: int

    class Failure(Exception):
        pass

    return Data, Model, Failure


class ModuleFailure(Exception):
    """Nobody annotates an exception: those of the nodes' modules are allowed."""


def test_annotations_of_functions_methods_callables_and_runnables() -> None:
    Data, Model, Failure = local_types()

    class Node:
        def __call__(self, state: State) -> dict[str, Any]:
            return {}

        def method(self, state: State) -> dict[str, Any]:
            return {}

    Node.__call__.__annotations__["return"] = Data
    Node.method.__annotations__["return"] = Model
    assert allowed(graph_of(Node()))(Data)
    assert allowed(graph_of(Node().method))(Model)

    def failing(state: State) -> dict[str, Any]:
        return {}

    failing.__annotations__["return"] = Failure
    for node in (
        RunnableLambda(failing),
        RunnableLambda(failing) | (lambda update: update),
        RunnableParallel(log=failing),
        RunnableLambda(failing).with_config(tags=["x"]),
    ):
        assert allowed(graph_of(node))(Failure)


def test_exceptions_of_the_nodes_modules() -> None:
    assert allowed(graph_of(lambda state: {}))(ModuleFailure)


def test_what_agents_are_asked_for() -> None:
    Data, Model, _ = local_types()
    for response_format in (Model, ToolStrategy(Model), ProviderStrategy(Model), ToolStrategy(Data | Model)):
        agent = create_agent(ScriptedChatModel(["x"]), response_format=response_format)
        assert allowed(agent)(Model)
    assert allowed(agent)(Data)


def test_tools() -> None:
    Data, Model, _ = local_types()

    def lookup(query: str) -> Any:
        """Look it up."""

    lookup.__annotations__["return"] = Data
    made = tool(lookup, args_schema=Model)
    assert allowed(create_agent(ScriptedChatModel(["x"]), [made]))(Data)
    assert allowed(create_agent(ScriptedChatModel(["x"]), [made]))(Model)


def test_graphs_that_functions_and_tools_run() -> None:
    Data, Model, _ = local_types()

    def inner_of(tp: Any) -> Any:
        class Inner(TypedDict):
            value: int

        Inner.__annotations__["value"] = tp
        return StateGraph(Inner).add_node("n", lambda state: {}).add_edge(START, "n").compile()

    one, other = inner_of(Data), {"helper": inner_of(Model)}

    def helper(name: str) -> Any:
        return other[name]

    async def node(state: State) -> dict[str, Any]:
        await one.ainvoke({})
        return await helper("helper").ainvoke({})

    @tool
    async def delegate(task: str) -> str:
        """Delegate."""
        return str(await node({"log": [task]}))

    agent = create_agent(ScriptedChatModel(["x"]), [delegate])
    for graph in (
        graph_of(node),
        StateGraph(MessagesState).add_node("a", agent).add_edge(START, "a").compile(),
    ):
        assert allowed(graph)(Data)
        assert allowed(graph)(Model)
