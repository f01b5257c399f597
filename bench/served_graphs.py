"""The graphs of bench/server.py: plain LangGraph, so that both servers run the same file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from typing_extensions import TypedDict

NAMES = ("one_node", "speaking", "counting", "silent")
COUNT = 50


class Speaking(BaseChatModel):
    """Thinks for a moment, then says the time, some times."""

    @property
    def _llm_type(self) -> str:
        return "speaking"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("now"))])

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.sleep(0.05)
        for _number in range(10):
            yield ChatGenerationChunk(message=AIMessageChunk(f" {time.time()}"))
            await asyncio.sleep(0.01)


class Count(TypedDict):
    count: int


def _one(state: Any, node: Any) -> Any:
    return StateGraph(state).add_node("node", node).add_edge(START, "node").compile()


async def _say(state: MessagesState) -> dict[str, Any]:
    return {"messages": [await Speaking().ainvoke(state["messages"][-1:])]}


async def _count(state: Count) -> dict[str, Any]:
    write = get_stream_writer()
    for number in range(state["count"]):
        write(number)
        await asyncio.sleep(0.005)
    return {}


async def _wait(state: MessagesState) -> dict[str, Any]:
    await asyncio.sleep(600)
    return {}


one_node = _one(MessagesState, lambda state: {"messages": [AIMessage("done", id="done")]})
speaking = _one(MessagesState, _say)
counting = _one(Count, _count)
silent = _one(MessagesState, _wait)
