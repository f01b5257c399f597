"""The graphs of the comparison: plain LangGraph, so that both servers run the same file."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, NotRequired

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

NAMES = (
    "chat",
    "steps",
    "asking",
    "asking_twice",
    "fan",
    "slow",
    "failing",
    "outer",
    "asking_inside",
    "jumping",
    "endless",
)


class Echo(BaseChatModel):
    """Says what it was told, a word at a time."""

    @property
    def _llm_type(self) -> str:
        return "echo"

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"you said: {messages[-1].text}"))])

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        words = f"you said: {messages[-1].text}".split(" ")
        for number, word in enumerate(words):
            text = word if number == 0 else f" {word}"
            yield ChatGenerationChunk(message=AIMessageChunk(text))

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            yield chunk


class Log(TypedDict):
    log: Annotated[list[Any], operator.add]


class Wishes(TypedDict):
    tone: NotRequired[str]


def _compiled(builder: StateGraph[Any, Any, Any, Any], *nodes: str) -> Any:
    for before, after in zip((START, *nodes), nodes, strict=False):
        builder.add_edge(before, after)
    return builder.compile()


def _chat() -> Any:
    model = Echo()

    async def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return _compiled(StateGraph(MessagesState).add_node("answer", answer), "answer")


def _steps() -> Any:
    def first(state: Log, runtime: Runtime[Wishes]) -> dict[str, Any]:
        get_stream_writer()({"progress": 1})
        return {"log": [f"first {(runtime.context or {}).get('tone', 'plain')}"]}

    def second(state: Log) -> dict[str, Any]:
        return {"log": ["second"]}

    builder = StateGraph(Log, context_schema=Wishes).add_node("first", first).add_node("second", second)
    return _compiled(builder, "first", "second")


def _asking() -> Any:
    def ask(state: Log) -> dict[str, Any]:
        return {"log": [f"told {interrupt('what now?')}"]}

    def after(state: Log) -> dict[str, Any]:
        return {"log": ["after"]}

    return _compiled(StateGraph(Log).add_node("ask", ask).add_node("after", after), "ask", "after")


def _asking_twice() -> Any:
    def left(state: Log) -> dict[str, Any]:
        return {"log": [f"left {interrupt('left?')} {interrupt('and left?')}"]}

    def right(state: Log) -> dict[str, Any]:
        return {"log": [f"right {interrupt({'ask': 'right?'})}"]}

    builder = StateGraph(Log).add_node("left", left).add_node("right", right)
    return builder.add_edge(START, "left").add_edge(START, "right").compile()


def _fan() -> Any:
    def plan(state: Log) -> dict[str, Any]:
        return {"log": ["plan"]}

    def work(state: dict[str, Any]) -> dict[str, Any]:
        return {"log": [f"worked {state['item']}"]}

    builder = StateGraph(Log).add_node("plan", plan).add_node("work", work).add_edge(START, "plan")
    builder.add_conditional_edges("plan", lambda _: [Send("work", {"item": n}) for n in range(2)], ["work"])
    return builder.compile()


def _slow() -> Any:
    def begin(state: Log) -> dict[str, Any]:
        return {"log": ["begun"]}

    async def wait(state: Log) -> dict[str, Any]:
        # Whoever starts it slowly cancels it.
        await asyncio.sleep(60 if "slow" in state["log"][-2:] else 0)
        return {"log": ["waited"]}

    return _compiled(StateGraph(Log).add_node("begin", begin).add_node("wait", wait), "begin", "wait")


def _failing() -> Any:
    def fine(state: Log) -> dict[str, Any]:
        return {"log": ["fine"]}

    def fail(state: Log) -> dict[str, Any]:
        raise ValueError("no such customer")

    return _compiled(StateGraph(Log).add_node("fine", fine).add_node("fail", fail), "fine", "fail")


def _outer() -> Any:
    inner = _compiled(StateGraph(Log).add_node("leaf", lambda state: {"log": ["leaf"]}), "leaf")
    return _compiled(StateGraph(Log).add_node("inner", inner), "inner")


def _asking_inside() -> Any:
    def ask(state: Log) -> dict[str, Any]:
        return {"log": [f"inside {interrupt('inside?')}"]}

    inner = _compiled(StateGraph(Log).add_node("ask", ask), "ask")
    return _compiled(StateGraph(Log).add_node("inner", inner), "inner")


def _jumping() -> Any:
    def here(state: Log) -> Command[Any]:
        return Command(update={"log": ["here"]}, goto="there")

    def there(state: Log) -> dict[str, Any]:
        return {"log": ["there"]}

    builder = StateGraph(Log).add_node("here", here, destinations=("there",)).add_node("there", there)
    return builder.add_edge(START, "here").compile()


def _endless() -> Any:
    builder = StateGraph(Log).add_node("again", lambda state: {"log": ["again"]}).add_edge(START, "again")
    return builder.add_edge("again", "again").compile()


chat, steps, asking, asking_twice, fan = _chat(), _steps(), _asking(), _asking_twice(), _fan()
slow, failing, outer, asking_inside = _slow(), _failing(), _outer(), _asking_inside()
jumping, endless = _jumping(), _endless()
