"""Ordinary graphs, run durably, with a full replay at every workflow task."""

from __future__ import annotations

import asyncio
import operator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.managed import RemainingSteps
from langgraph.types import Command, Send
from pydantic import BaseModel
from typing_extensions import TypedDict

from perdure.errors import RunFailed
from perdure.testing import PerdureEnvironment


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def step(name: str):
    def node(state: Log) -> dict[str, Any]:
        return {"log": [name]}

    return node


async def test_a_chain_of_sync_and_async_nodes_runs_to_its_end() -> None:
    async def second(state: Log) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"log": [f"second after {state['log'][-1]}"]}

    builder = StateGraph(Log)
    builder.add_node("first", step("first"))
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    graph = builder.compile()

    async with PerdureEnvironment.start({"chain": graph}) as env:
        run = await env.start("chain", {"log": ["input"]})
        assert await run.result() == {"log": ["input", "first", "second after first"]}
        assert await graph.ainvoke({"log": ["input"]}) == await run.result()


async def test_the_users_graph_is_not_changed() -> None:
    builder = StateGraph(Log)
    builder.add_node("only", step("only"))
    builder.add_edge(START, "only")
    graph = builder.compile()
    before = {name: node.bound for name, node in graph.nodes.items()}
    async with PerdureEnvironment.start({"g": graph}) as env:
        await (await env.start("g", {"log": []})).result()
    assert {name: node.bound for name, node in graph.nodes.items()} == before
    assert graph.invoke({"log": []}) == {"log": ["only"]}


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_routers_run_in_the_workflow(kind: str) -> None:
    def route(state: Log) -> Literal["left", "right"]:
        return "left" if len(state["log"]) < 2 else "right"

    async def aroute(state: Log) -> Literal["left", "right"]:
        return route(state)

    builder = StateGraph(Log)
    builder.add_node("left", step("left"))
    builder.add_node("right", step("right"))
    builder.add_conditional_edges(START, route if kind == "sync" else aroute)
    builder.add_conditional_edges("left", route if kind == "sync" else aroute)
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        assert await (await env.start("g", {"log": []})).result() == {"log": ["left", "left", "right"]}


@pytest.mark.compat("State: messages with their types, ids and usage; `RemoveMessage`")
async def test_messages_keep_their_types_and_ids() -> None:
    seen: list[list[type]] = []

    def answer(state: MessagesState) -> dict[str, Any]:
        seen.append([type(m) for m in state["messages"]])
        return {
            "messages": [
                AIMessage("hello", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3})
            ]
        }

    def forget(state: MessagesState) -> dict[str, Any]:
        seen.append([type(m) for m in state["messages"]])
        return {"messages": [RemoveMessage(id=state["messages"][0].id)]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_node("forget", forget)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", "forget")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        result = await (await env.start("g", {"messages": [("user", "hi")]})).result()
    assert seen == [[HumanMessage], [HumanMessage, AIMessage]]
    [message] = result["messages"]
    assert isinstance(message, AIMessage)
    assert message.usage_metadata == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


async def test_send_and_command_fan_out_and_jump() -> None:
    class State(TypedDict):
        items: list[int]
        seen: Annotated[list[int], operator.add]

    def plan(state: State) -> Command[Any]:
        return Command(goto=[Send("work", {"item": n}) for n in state["items"]])

    def work(state: dict[str, Any]) -> Command[Any]:
        return Command(update={"seen": [state["item"] * 10]}, goto="collect")

    def collect(state: State) -> dict[str, Any]:
        return {"seen": [len(state["seen"])]}

    builder = StateGraph(State)
    builder.add_node("plan", plan, destinations=("work",))
    builder.add_node("work", work, destinations=("collect",))
    builder.add_node("collect", collect)
    builder.add_edge(START, "plan")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        result = await (await env.start("g", {"items": [1, 2, 3], "seen": []})).result()
    assert result["seen"] == [10, 20, 30, 3]


async def test_pydantic_state_and_a_subgraph_as_a_node() -> None:
    class Order(BaseModel):
        total: float = 0.0
        notes: Annotated[list[str], operator.add] = []

    def price(state: Order) -> dict[str, Any]:
        assert isinstance(state, Order)
        return {"total": state.total + 5, "notes": ["priced"]}

    def check(state: Order) -> dict[str, Any]:
        return {"notes": [f"checked {state.total}"]}

    inner = StateGraph(Order)
    inner.add_node("price", price)
    inner.add_edge(START, "price")
    outer = StateGraph(Order)
    outer.add_node("inner", inner.compile())
    outer.add_node("check", check)
    outer.add_edge(START, "inner")
    outer.add_edge("inner", "check")
    graph = outer.compile()
    async with PerdureEnvironment.start({"g": graph}) as env:
        result = await (await env.start("g", {"total": 1.0})).result()
    assert result == await graph.ainvoke({"total": 1.0}) == {"total": 6.0, "notes": ["priced", "checked 6.0"]}


async def test_dataclass_state_managed_values_and_deferred_nodes() -> None:
    @dataclass
    class State:
        log: Annotated[list[Any], operator.add] = field(default_factory=list)
        left: RemainingSteps = 0

    def look(state: State) -> dict[str, Any]:
        assert isinstance(state, State)
        return {"log": [state.left]}

    builder = StateGraph(State)
    builder.add_node("look", look)
    builder.add_node("second", lambda state: {"log": ["second"]})
    builder.add_node("last", lambda state: {"log": [len(state.log)]}, defer=True)
    builder.add_edge(START, "look")
    builder.add_edge(START, "last")
    builder.add_edge("look", "second")
    graph = builder.compile()
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"log": ["in"]}, config={"recursion_limit": 10})
        result = await run.result()
    assert result == await graph.ainvoke({"log": ["in"]}, {"recursion_limit": 10})
    assert result["log"][-2:] == ["second", 3]


@pytest.mark.compat(
    "a node that changes its input in place, and does not return it",
    status="differs",
    how="nobody sees the change",
    why="in LangGraph it shows whether another node sees it by what runs beside it",
)
async def test_a_node_that_changes_its_input_in_place_changes_nothing_else() -> None:
    class State(TypedDict):
        items: list[int]
        messages: Annotated[list[AnyMessage], add_messages]

    def meddle(state: State) -> dict[str, Any]:
        state["items"].append(99)
        state["messages"][0].content = "changed"
        return {}

    def look(state: State) -> dict[str, Any]:
        return {"items": [*state["items"], 2]}

    builder = StateGraph(State)
    builder.add_node("meddle", meddle)
    builder.add_node("look", look)
    builder.add_edge(START, "meddle")
    builder.add_edge("meddle", "look")
    graph = builder.compile()
    for replay in (True, False):
        async with PerdureEnvironment.start({"g": graph}, replay_every_task=replay) as env:
            result = await (await env.start("g", {"items": [1], "messages": [("user", "hi")]})).result()
        assert result["items"] == [1, 2]
        assert result["messages"][0].content == "hi"


@pytest.mark.compat(
    "a node without a retry policy",
    status="differs",
    how="is tried up to 4 times (models 6) where a retry can help; LangGraph tries once",
    why="a run has to survive what passes by itself; `durable(retry=...)` or a `RetryPolicy` says otherwise",
)
async def test_a_failing_node_fails_the_run_by_name_after_finite_attempts() -> None:
    calls = 0

    def broken(state: Log) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        raise RuntimeError("the tool is down")

    builder = StateGraph(Log)
    builder.add_node("broken", broken)
    builder.add_edge(START, "broken")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"log": []})
        with pytest.raises(
            RunFailed, match="node 'broken' failed after 4 attempts: RuntimeError: the tool is down"
        ) as e:
            await run.result()
        assert (e.value.node, e.value.cause_type) == ("broken", "RuntimeError")
    assert calls == 4


async def test_a_programming_error_is_not_retried() -> None:
    calls = 0

    def broken(state: Log) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        raise ValueError("no such thing")

    builder = StateGraph(Log)
    builder.add_node("broken", broken)
    builder.add_edge(START, "broken")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        with pytest.raises(RunFailed, match="ValueError: no such thing"):
            await (await env.start("g", {"log": []})).result()
    assert calls == 1


@pytest.mark.compat("Control flow: `recursion_limit`, cycles")
async def test_recursion_and_router_errors_fail_the_run() -> None:
    def lost(state: Log) -> str:
        raise KeyError("which way")

    def endless(state: Log) -> str:
        return "again"

    async def run(router: Any) -> str:
        builder = StateGraph(Log)
        builder.add_node("again", step("again"))
        builder.add_edge(START, "again")
        builder.add_conditional_edges("again", router, ["again", END])
        async with PerdureEnvironment.start({"g": builder.compile()}) as env:
            with pytest.raises(RunFailed) as caught:
                await (await env.start("g", {"log": []}, config={"recursion_limit": 4})).result()
        return f"{caught.value.cause_type}: {caught.value}"

    assert "GraphRecursionError" in await run(endless)
    assert "recursion_limit" in await run(endless)
    assert "KeyError" in await run(lost)
