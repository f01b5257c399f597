"""Routers see, in a workflow that is replayed at every task, what they see under LangGraph alone."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime, get_runtime
from typing_extensions import TypedDict

from perdure.testing import PerdureEnvironment


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    seen: Annotated[list[list[Any]], operator.add]


def look(state: State, config: RunnableConfig, runtime: Runtime[Any]) -> list[Any]:
    own = get_config()
    return [
        own["metadata"]["langgraph_node"],
        own["configurable"]["mine"],
        config["configurable"]["mine"],
        get_runtime().context == runtime.context,
        len(state["messages"]),
    ]


def routes_with(found: list[list[Any]], *, is_async: bool, spoils: bool = False) -> Callable[..., Any]:
    def route(state: State, config: RunnableConfig, runtime: Runtime[Any]) -> str:
        found.append(look(state, config, runtime))
        more = len(state["messages"]) < 3
        if spoils:
            state["messages"].append(AIMessage("of a router"))
        return "say" if more else END

    async def aroute(state: State, config: RunnableConfig, runtime: Runtime[Any]) -> str:
        return route(state, config, runtime)

    return aroute if is_async else route


def built(route: Callable[..., Any]) -> Any:
    async def say(state: State) -> dict[str, Any]:
        return {
            "messages": [AIMessage(f"message {len(state['messages'])}")],
            "seen": [[len(state["messages"])]],
        }

    builder = StateGraph(State)
    builder.add_node("say", say)
    builder.add_edge(START, "say")
    builder.add_conditional_edges("say", route, ["say", END])
    return builder.compile()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_router_has_the_config_and_the_runtime_of_its_node(is_async: bool) -> None:
    alone: list[list[Any]] = []
    here: list[list[Any]] = []
    given, config = {"messages": [], "seen": []}, {"configurable": {"mine": "yes"}}
    await built(routes_with(alone, is_async=is_async)).ainvoke(given, config)
    async with PerdureEnvironment.start({"g": built(routes_with(here, is_async=is_async))}) as env:
        run = await env.start("g", given, config=config)
        assert len((await run.result())["messages"]) == 3
    assert alone == [["say", "yes", "yes", True, count] for count in (1, 2, 3)]
    # Each replay asks it again.
    assert [item for count, item in enumerate(here) if item not in here[:count]] == alone


async def test_what_a_router_does_to_its_messages_is_not_in_the_state() -> None:
    given = {"messages": [], "seen": []}
    expected = await built(routes_with([], is_async=False, spoils=True)).ainvoke(
        given, {"configurable": {"mine": "yes"}}
    )
    graph = built(routes_with([], is_async=False, spoils=True))
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", given, config={"configurable": {"mine": "yes"}})
        result = await run.result()
    assert [message.content for message in result["messages"]] == [m.content for m in expected["messages"]]
    assert result["seen"] == expected["seen"]


async def test_a_router_that_fails_fails_its_run() -> None:
    def route(state: State) -> str:
        raise ValueError("no way from here")

    async with PerdureEnvironment.start({"g": built(route)}) as env:
        run = await env.start("g", {"messages": [], "seen": []})
        with pytest.raises(Exception, match="no way from here"):
            await run.result()
