"""The graphs of the worker processes that bench/kill.py and bench/waiting.py start; each node call writes a note.

See bench/worker_notes.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from typing_extensions import TypedDict

sys.path[:0] = [str(Path(__file__).parent)]

from text import text  # noqa: E402
from worker_notes import note, work  # noqa: E402


class Steps(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    step: int
    steps: int
    bytes: int


class Last(TypedDict):
    step: int


def _step(state: Steps, config: RunnableConfig) -> dict[str, Any]:
    step = state["step"] + 1
    work(step, config.get("configurable", {})["thread_id"])
    return {"messages": [AIMessage(text(step, state["bytes"]))], "step": step}


def _ask(state: MessagesState) -> dict[str, Any]:
    answer = interrupt({"draft": state["messages"][-1].text})
    return {"messages": [AIMessage(f"answered {answer}")]}


def _send(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    note("sent", config.get("configurable", {})["thread_id"])
    return {"messages": [AIMessage("sent")]}


steps = (
    StateGraph(Steps, output_schema=Last)
    .add_node("work", _step)
    .add_edge(START, "work")
    .add_conditional_edges("work", lambda state: "work" if state["step"] < state["steps"] else END)
    .compile()
)
approval = (
    StateGraph(MessagesState)
    .add_node("ask", _ask)
    .add_node("send", _send)
    .add_edge(START, "ask")
    .add_edge("ask", "send")
    .compile()
)
