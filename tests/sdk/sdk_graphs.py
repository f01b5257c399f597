"""The graphs that the SDK's tests run."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any, NotRequired

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from typing_extensions import TypedDict

from perdure.testing import ScriptedChatModel

__all__ = ["graphs"]


class Chat(MessagesState):
    mood: NotRequired[str]


class Notes(TypedDict):
    log: Annotated[list[Any], operator.add]


class Wishes(TypedDict):
    tone: NotRequired[str]


def _chat() -> Any:
    model = ScriptedChatModel(reply_to=lambda messages: f"you said: {messages[-1].text}")

    async def answer(state: Chat) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(Chat)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    return builder.compile()


def _steps() -> Any:
    def first(state: Notes, runtime: Runtime[Wishes]) -> dict[str, Any]:
        get_stream_writer()({"progress": 1})
        return {"log": [f"first {(runtime.context or {}).get('tone', 'plain')}"]}

    def second(state: Notes) -> dict[str, Any]:
        return {"log": ["second"]}

    builder = StateGraph(Notes, context_schema=Wishes)
    builder.add_node("first", first)
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    return builder.compile()


def _asking() -> Any:
    def ask(state: Notes) -> dict[str, Any]:
        return {"log": [f"told {interrupt('what now?')}"]}

    def after(state: Notes) -> dict[str, Any]:
        return {"log": ["after"]}

    builder = StateGraph(Notes)
    builder.add_node("ask", ask)
    builder.add_node("after", after)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "after")
    return builder.compile()


def _counsel() -> Any:
    def ask(state: Chat) -> dict[str, Any]:
        return {"messages": [("ai", f"told {interrupt('what now?')}")]}

    builder = StateGraph(Chat)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return builder.compile()


def _slow() -> Any:
    async def begin(state: Notes) -> dict[str, Any]:
        return {"log": ["begun"]}

    async def wait(state: Notes) -> dict[str, Any]:
        await asyncio.sleep(30)
        return {"log": ["waited"]}

    builder = StateGraph(Notes)
    builder.add_node("begin", begin)
    builder.add_node("wait", wait)
    builder.add_edge(START, "begin")
    builder.add_conditional_edges(
        "begin", lambda state: "wait" if state["log"][-2:] == ["slow", "begun"] else "__end__"
    )
    return builder.compile()


def _failing() -> Any:
    def fail(state: Notes) -> dict[str, Any]:
        raise ValueError("no such customer")

    builder = StateGraph(Notes)
    builder.add_node("fail", fail)
    builder.add_edge(START, "fail")
    return builder.compile()


def _outer() -> Any:
    inner = StateGraph(Notes)
    inner.add_node("leaf", lambda state: {"log": ["leaf"]})
    inner.add_edge(START, "leaf")
    builder = StateGraph(Notes)
    builder.add_node("inner", inner.compile())
    builder.add_edge(START, "inner")
    return builder.compile()


def _asking_inside() -> Any:
    builder = StateGraph(Notes)
    builder.add_node("inner", _asking())
    builder.add_edge(START, "inner")
    return builder.compile()


def _told() -> Any:
    def say(state: Chat) -> dict[str, Any]:
        return {"messages": [AIMessage("said without a model", id="said")]}

    builder = StateGraph(Chat)
    builder.add_node("say", say)
    builder.add_edge(START, "say")
    return builder.compile()


def _flaky() -> Any:
    model = ScriptedChatModel(reply_to=lambda messages: "one two three")
    tries: dict[str, int] = {}

    async def speak(state: Chat, runtime: Runtime[Any]) -> dict[str, Any]:
        answer = await model.ainvoke(state["messages"])
        thread = str(runtime.execution_info.thread_id) if runtime.execution_info else ""
        tries[thread] = tries.get(thread, 0) + 1
        if tries[thread] < 2:
            raise ConnectionError("lost")
        return {"messages": [answer]}

    builder = StateGraph(Chat)
    builder.add_node("speak", speak)
    builder.add_edge(START, "speak")
    return builder.compile()


def _whoami() -> Any:
    def tell(state: Notes, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        told = config["configurable"]
        user = told.get("langgraph_auth_user")
        seen = runtime.server_info.user if runtime.server_info else None
        return {
            "log": [
                user["identity"] if user else None,
                seen.identity if seen else None,
                told.get("langgraph_auth_user_id"),
                told.get("langgraph_auth_permissions"),
                user.team if user and "team" in user else None,
                told.get("x-tenant"),
                told.get("authorization"),
            ]
        }

    builder = StateGraph(Notes)
    builder.add_node("tell", tell)
    builder.add_edge(START, "tell")
    return builder.compile()


def _calling() -> Any:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    def call(state: Chat) -> dict[str, Any]:
        calls: Any = [{"name": "add", "args": {"a": 1, "b": 2}, "id": "call"}]
        return {"messages": [AIMessage("", tool_calls=calls)]}

    builder = StateGraph(Chat)
    builder.add_node("call", call)
    builder.add_node("tools", ToolNode([add]))
    builder.add_edge(START, "call")
    builder.add_edge("call", "tools")
    return builder.compile()


def _talking() -> Any:
    """Says eight words with time between them."""

    async def talk(state: Chat, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [await _Slowly().ainvoke(state["messages"], config)]}

    builder = StateGraph(Chat)
    builder.add_node("talk", talk)
    builder.add_edge(START, "talk")
    return builder.compile()


class _Slowly(GenericFakeChatModel):
    messages: Any = ()

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for number, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight"]):
            yield ChatGenerationChunk(message=AIMessageChunk(word if number == 0 else f" {word}"))
            await asyncio.sleep(0.2)


def _counting() -> Any:
    """Tells the numbers up to the one that it is given."""

    async def count(state: Notes) -> dict[str, Any]:
        write = get_stream_writer()
        for number in range(state["log"][-1]):
            write(number)
            await asyncio.sleep(0)
        return {"log": ["counted"]}

    builder = StateGraph(Notes)
    builder.add_node("count", count)
    builder.add_edge(START, "count")
    return builder.compile()


def graphs() -> dict[str, Any]:
    return {
        "counting": _counting(),
        "talking": _talking(),
        "whoami": _whoami(),
        "flaky": _flaky(),
        "chat": _chat(),
        "steps": _steps(),
        "asking": _asking(),
        "asking_inside": _asking_inside(),
        "counsel": _counsel(),
        "slow": _slow(),
        "failing": _failing(),
        "outer": _outer(),
        "told": _told(),
        "calling": _calling(),
    }
