"""Prebuilt agents and everything that LangGraph injects into nodes and tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.config import get_config
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode, tools_condition
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore
from langgraph.types import StreamWriter
from typing_extensions import TypedDict

from perdure.testing import PerdureEnvironment, ScriptedChatModel


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool
def count_messages(state: Annotated[dict[str, Any], InjectedState]) -> str:
    """How long the conversation is."""
    return str(len(state["messages"]))


ASK_WEATHER: Any = {"tool": "weather", "args": {"city": "Oslo"}}


@pytest.mark.compat("Agents: `create_agent` with tools, parallel calls, structured output")
async def test_create_agent_runs_with_tools() -> None:
    model = ScriptedChatModel([[ASK_WEATHER, {"tool": "count_messages", "args": {}}], "It is sunny."])
    agent = create_agent(model, [weather, count_messages])
    async with PerdureEnvironment.start({"agent": agent}) as env:
        run = await env.start("agent", {"messages": [("user", "weather?")]})
        messages = (await run.result())["messages"]
    assert [type(m) for m in messages] == [HumanMessage, AIMessage, ToolMessage, ToolMessage, AIMessage]
    assert [m.content for m in messages[2:]] == ["sunny in Oslo", "2", "It is sunny."]
    assert model.call_count == 2
    assert messages[1].usage_metadata is not None


async def test_a_react_loop_of_tool_node_and_tools_condition() -> None:
    model = ScriptedChatModel([ASK_WEATHER, ASK_WEATHER, "done"]).bind_tools([weather])

    async def call(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", call)
    builder.add_node("tools", ToolNode([weather]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        result = await (await env.start("g", {"messages": [("user", "weather?")]})).result()
    assert [m.type for m in result["messages"]] == ["human", "ai", "tool", "ai", "tool", "ai"]


@pytest.mark.compat(
    "Agents: `HumanInTheLoopMiddleware`: approve, edit, reject, respond, several calls at once"
)
@pytest.mark.parametrize(
    ("decision", "content"),
    [
        ({"type": "approve"}, "sunny in Oslo"),
        ({"type": "edit", "edited_action": {"name": "weather", "args": {"city": "Rome"}}}, "sunny in Rome"),
        ({"type": "reject", "message": "not now"}, "not now"),
    ],
)
async def test_human_in_the_loop_middleware(decision: dict[str, Any], content: str) -> None:
    model = ScriptedChatModel([ASK_WEATHER, "done"])
    agent = create_agent(model, [weather], middleware=[HumanInTheLoopMiddleware({"weather": True})])
    async with PerdureEnvironment.start({"agent": agent}) as env:
        run = await env.start("agent", {"messages": [("user", "weather?")]})
        [item] = await run.wait_for_approvals()
        assert item.value["action_requests"][0]["name"] == "weather"
        await run.resume({item.id: {"decisions": [decision]}})
        messages = (await run.result())["messages"]
    tool_messages = [m for m in messages if isinstance(m, ToolMessage)]
    assert content in tool_messages[0].content
    assert model.call_count == 2


async def test_everything_that_langgraph_injects_is_real_in_a_node() -> None:
    @dataclass
    class Context:
        user: str

    class State(TypedDict):
        seen: dict[str, Any]

    def node(
        state: State, config: RunnableConfig, runtime: Runtime[Context], writer: StreamWriter
    ) -> dict[str, Any]:
        writer({"progress": 1})
        assert runtime.store is not None
        runtime.store.put(("notes",), "a", {"text": "kept"})
        note = runtime.store.get(("notes",), "a")
        assert runtime.execution_info is not None
        return {
            "seen": {
                "user": runtime.context.user,
                "note": note.value if note else None,
                "thread": config["configurable"]["thread_id"],
                "mine": config["configurable"]["mine"],
                "tag": "tagged" in (config.get("tags") or []),
                "same": get_config()["configurable"]["mine"],
                "node": config["metadata"]["langgraph_node"],
                "info": runtime.execution_info.thread_id,
            }
        }

    builder = StateGraph(State, context_schema=Context)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    graph = builder.compile(store=InMemoryStore())
    async with PerdureEnvironment.start({"g": graph}) as env:
        config = {"configurable": {"mine": 42}, "tags": ["tagged"]}
        run = await env.start("g", {"seen": {}}, thread_id="t", config=config, context={"user": "ann"})
        seen = (await run.result())["seen"]
    assert seen == {
        "user": "ann",
        "note": {"text": "kept"},
        "thread": "t",
        "mine": 42,
        "tag": True,
        "same": 42,
        "node": "node",
        "info": "t",
    }


@pytest.mark.compat(
    "`graph.with_config(callbacks=...)`",
    status="differs",
    how="called where nodes run; the graph's own start and end are not reported",
    why="in a workflow they would run again at every replay",
)
async def test_callbacks_and_bound_config_of_the_graph_reach_its_nodes() -> None:
    class Watch(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            self.seen.append(str(kwargs.get("name")))

    class State(TypedDict):
        value: str

    live = object()

    def node(state: State, config: RunnableConfig) -> dict[str, Any]:
        assert config["configurable"]["live"] is live
        return {"value": "ok"}

    builder = StateGraph(State)
    builder.add_node("node", RunnableLambda(node))
    builder.add_edge(START, "node")
    watch = Watch()
    graph = builder.compile().with_config(callbacks=[watch], configurable={"live": live})
    async with PerdureEnvironment.start({"g": graph}, replay_every_task=True) as env:
        assert await (await env.start("g", {"value": ""})).result() == {"value": "ok"}
    assert watch.seen.count("node") == 1


async def test_langsmith_tracing_stays_out_of_the_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("LANGSMITH_API_KEY", "none")

    class State(TypedDict):
        value: str

    builder = StateGraph(State)
    builder.add_node("node", lambda state: {"value": "ok"})
    builder.add_edge(START, "node")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"value": ""})
        assert await run.result() == {"value": "ok"}
        history = await run.handle.fetch_history()
        assert not [e for e in history.events if e.HasField("workflow_task_failed_event_attributes")]
