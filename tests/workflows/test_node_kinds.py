"""Everything that LangGraph takes for a node, and everything that it injects into one."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Callable
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    RunnableBranch,
    RunnableConfig,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tools import tool
from langgraph.errors import NodeError
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, StreamWriter
from typing_extensions import TypedDict

from perdure.testing import PerdureEnvironment, ScriptedChatModel


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def function(state: Log) -> dict[str, Any]:
    return {"log": ["function"]}


async def coroutine(state: Log) -> dict[str, Any]:
    return {"log": ["coroutine"]}


def named(state: Log, name: str) -> dict[str, Any]:
    return {"log": [name]}


async def anamed(state: Log, *, name: str) -> dict[str, Any]:
    return {"log": [name]}


class Service:
    """Methods of every kind."""

    def __init__(self, name: str) -> None:
        self.name = name

    def method(self, state: Log) -> dict[str, Any]:
        return {"log": [f"method of {self.name}"]}

    async def amethod(self, state: Log) -> dict[str, Any]:
        return {"log": [f"async method of {self.name}"]}

    @staticmethod
    def static(state: Log) -> dict[str, Any]:
        return {"log": ["static"]}

    @classmethod
    def of_class(cls, state: Log) -> dict[str, Any]:
        return {"log": [cls.__name__]}

    def __call__(self, state: Log) -> dict[str, Any]:
        return {"log": [f"called {self.name}"]}


class AsyncService:
    async def __call__(self, state: Log, config: RunnableConfig) -> dict[str, Any]:
        return {"log": [f"async call in {config['metadata']['langgraph_node']}"]}


def decorated(function: Callable[[Log], dict[str, Any]]) -> Callable[[Log], dict[str, Any]]:
    @wraps(function)
    def wrapper(state: Log) -> dict[str, Any]:
        return {"log": [f"decorated {item}" for item in function(state)["log"]]}

    return wrapper


def closure(name: str) -> Callable[[Log], dict[str, Any]]:
    return lambda state: {"log": [f"{name} after {len(state['log'])}"]}


async def agenerated(parts: AsyncIterator[Log]) -> AsyncIterator[dict[str, Any]]:
    async for part in parts:
        yield {"log": [f"agenerated after {len(part['log'])}"]}


def nothing(state: Log) -> None:
    return None


prompt = ChatPromptTemplate.from_template("say {word}")
model = ScriptedChatModel(reply_to=lambda messages: f"you said: {messages[-1].text}")

NODES: dict[str, Any] = {
    "function": function,
    "coroutine": coroutine,
    "lambda": lambda state: {"log": ["lambda"]},
    "partial": partial(named, name="partial"),
    "async partial": partial(anamed, name="async partial"),
    "method": Service("a").method,
    "async method": Service("a").amethod,
    "static method": Service.static,
    "class method": Service.of_class,
    "callable": Service("b"),
    "async callable": AsyncService(),
    "decorated": decorated(function),
    "closure": closure("closure"),
    "runnable": RunnableLambda(function).with_config(tags=["tagged"]),
    "sequence": RunnableLambda(lambda state: {"word": state["log"][-1]})
    | prompt
    | model
    | RunnableLambda(lambda message: {"log": [message.content]}),
    "parallel": RunnableParallel(log=lambda state: [str(len(state["log"]))]),
    "assign": RunnablePassthrough.assign(log=lambda state: ["assigned"]),
    "branch": RunnableBranch((lambda state: bool(state["log"]), function), coroutine),
    "async generator": RunnableGenerator(agenerated),
    "fallbacks": RunnableLambda(lambda state: 1 / 0).with_fallbacks([RunnableLambda(function)]),
    "nothing": nothing,
    "list of updates": lambda state: [{"log": ["one"]}, Command(update={"log": ["two"]})],
}


@pytest.mark.compat(
    "Nodes: functions, lambdas, methods, partials, callables, runnables and their sequences; sync and async"
)
async def test_nodes_of_every_kind(same: Any) -> None:
    builder = StateGraph(Log)
    before = START
    for name, node in NODES.items():
        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    result = await same(builder.compile(), {"log": []}, config={"recursion_limit": 50})
    assert result["log"][-2:] == ["one", "two"]
    assert "you said: Human: say function" not in result["log"]
    assert "async call in async callable" in result["log"]


@pytest.mark.compat("Nodes: chat models and `ToolNode`")
async def test_a_model_and_a_tool_node_are_nodes_by_themselves(same: Any) -> None:
    @tool
    def double(number: int) -> int:
        """Twice the number."""
        return number * 2

    call = {"tool": "double", "args": {"number": 21}, "id": "call_1"}
    chain = (lambda state: state["messages"]) | ScriptedChatModel(reply_to=lambda messages: call)

    def add(message: AIMessage) -> dict[str, Any]:
        return {"messages": [message]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", chain | add)
    builder.add_node("tools", ToolNode([double]))
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    result = await same(builder.compile(), {"messages": [("user", "twice 21?")]})
    assert result["messages"][-1].content == "42"


@pytest.mark.compat(
    "Nodes: everything injected: `config`, `runtime`, `store`, `writer`, `previous`, `error`, context"
)
async def test_injection_by_annotation(same: Any) -> None:
    class Seen(TypedDict):
        seen: list[str]

    def node(
        state: Seen, config: RunnableConfig, writer: StreamWriter, store: BaseStore, runtime: Runtime[Any]
    ) -> dict[str, Any]:
        writer("progress")
        store.put(("a",), "b", {"c": 1})
        assert runtime.store is store
        assert get_runtime() is runtime
        return {"seen": [str(config["configurable"]["mine"]), str(store.get(("a",), "b").value)]}

    async def anode(
        state: Seen, config: RunnableConfig, *, writer: StreamWriter, store: BaseStore, runtime: Runtime[Any]
    ) -> dict[str, Any]:
        writer("progress")
        item = await store.aget(("a",), "b")
        info = runtime.execution_info
        return {"seen": [*state["seen"], str(item.value), str(info.node_attempt), runtime.context["who"]]}

    builder = StateGraph(Seen, context_schema=dict).add_sequence([node, anode]).add_edge(START, "node")
    graph = builder.compile(store=InMemoryStore())
    result = await same(
        graph, {"seen": []}, config={"configurable": {"mine": 7, "thread_id": "t"}}, context={"who": "ann"}
    )
    assert result["seen"] == ["7", "{'c': 1}", "{'c': 1}", "1", "ann"]


@pytest.mark.compat(
    "Nodes: everything injected: `config`, `runtime`, `store`, `writer`, `previous`, `error`, context"
)
async def test_injection_by_name(same: Any) -> None:
    class Seen(TypedDict):
        seen: list[str]

    def node(state, config, writer, store, runtime):  # type: ignore[no-untyped-def]
        writer("progress")
        store.put(("a",), "b", {"c": 1})
        return {"seen": [str(config["configurable"]["mine"]), type(runtime).__name__]}

    builder = StateGraph(Seen).add_node("node", node).add_edge(START, "node")
    graph = builder.compile(store=InMemoryStore())
    result = await same(graph, {"seen": []}, config={"configurable": {"mine": 7, "thread_id": "t"}})
    assert result["seen"] == ["7", "Runtime"]


@pytest.mark.compat("Failures: `error_handler` of a node, a subgraph, a graph's defaults")
async def test_an_error_handler_is_given_the_error_and_may_go_elsewhere(same: Any) -> None:
    class Seen(TypedDict):
        seen: Annotated[list[str], operator.add]

    def fails(state: Seen) -> dict[str, Any]:
        raise LookupError("gone")

    async def handler(state: Seen, error: NodeError, config: RunnableConfig) -> dict[str, Any]:
        return {"seen": [f"{error.node} {error.error!r} in {config['metadata']['langgraph_step']}"]}

    builder = StateGraph(Seen)
    builder.add_node("fails", fails, error_handler=handler)
    builder.add_node("fine", lambda state: {"seen": ["fine"]})
    builder.add_node("after", lambda state: {"seen": ["after"]})
    builder.add_edge(START, "fails")
    builder.add_edge(START, "fine")
    builder.add_edge(["fails", "fine"], "after")
    result = await same(builder.compile(), {"seen": []})
    assert "fails LookupError('gone') in 1" in result["seen"]


async def test_previous_is_injected_into_an_entrypoint() -> None:
    @entrypoint()
    def remember(value: int, *, previous: int | None) -> int:
        return value + (previous or 0)

    async with PerdureEnvironment.start({"g": remember}) as env:
        for value, expected in ((1, 1), (2, 3), (3, 6)):
            run = await env.start("g", value, thread_id="t", keep_open=True)
            assert await run.result() == expected


@pytest.mark.compat("Control flow: parallel branches, joins, `defer`")
@pytest.mark.parametrize("number", [2, 12])
async def test_parallel_nodes_start_together_and_join(same: Any, number: int) -> None:
    builder = StateGraph(Log)
    names = [f"node {i}" for i in range(number)]
    for name in names:
        builder.add_node(name, lambda state, name=name: {"log": [name]})
        builder.add_edge(START, name)
    builder.add_node("join", lambda state: {"log": [f"joined {len(state['log'])}"]})
    builder.add_edge(names, "join")
    result = await same(builder.compile(), {"log": []})
    assert result["log"][-1] == f"joined {number}"


async def test_a_router_may_import_and_read_files(same: Any, tmp_path: Path) -> None:
    """Once per step as it happens, and again at each replay: what it reads has to stay the same."""
    table = tmp_path / "routes.csv"
    table.write_text("start,function\n")

    def route(state: Log) -> str:
        import csv

        with open(table) as lines:
            return dict(csv.reader(lines))["start"]

    builder = StateGraph(Log)
    builder.add_node(function)
    builder.add_node(coroutine)
    builder.add_conditional_edges(START, route, ["function", "coroutine"])
    await same(builder.compile(), {"log": []})
