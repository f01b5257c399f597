"""The graphs of the worker processes that bench/kill.py and bench/waiting.py start; each node call writes a note to a file.

The environment says where (`BENCH_NOTES`), and at which step a node call stays until its process is killed (`BENCH_HANG`).
"""

from __future__ import annotations

import os
import sys
import time
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


class Steps(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    step: int
    steps: int
    bytes: int


class Last(TypedDict):
    step: int


def note(step: Any, thread: str) -> None:
    """One line of what a node call has to tell."""
    line = f"{time.time()} {os.getpid()} {step} {thread}"
    with Path(os.environ["BENCH_NOTES"]).open("a") as file:
        file.write(f"{line}\n")


def work(step: int, thread: str) -> None:
    """What is told of a step when it begins; one of them may stay."""
    note(step, thread)
    hang = Path(os.environ.get("BENCH_HANG", ""))
    if hang.is_file() and hang.read_text() == str(step):
        hang.unlink()
        time.sleep(600)


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
