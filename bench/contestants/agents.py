"""The agents as LangGraph graphs, the same for every contestant that runs LangGraph.

`steps`: one node that adds a message and calls itself. `branches`: a fan-out with `Send`, joined by the messages' reducer.
Nodes and routers are coroutines: LangGraph calls functions in threads, which costs more. One peer can only call routers that
are functions (`sync`), another only those that are not.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Send
from typing_extensions import TypedDict

sys.path.append(str(Path(__file__).resolve().parent))

from protocol import CLOCK, Agent, text


class State(TypedDict):
    """`bytes` is the size of each message, `seed` where an agent's texts begin."""

    messages: Annotated[list[AnyMessage], add_messages]
    step: int
    steps: int
    branches: int
    bytes: int
    seed: int


class Branch(TypedDict):
    seed: int
    bytes: int


async def work(state: State) -> dict[str, Any]:
    CLOCK.tick()
    step = state["step"] + 1
    return {"messages": [AIMessage(text(state["seed"] + step, state["bytes"]))], "step": step}


async def more(state: State) -> str:
    return "work" if state["step"] < state["steps"] else END


def more_sync(state: State) -> str:
    return "work" if state["step"] < state["steps"] else END


async def plan(state: State) -> dict[str, Any]:
    return {"step": 0}


async def fan_out(state: State) -> list[Send]:
    return fan_out_sync(state)


def fan_out_sync(state: State) -> list[Send]:
    size, seed = state["bytes"], state["seed"]
    return [Send("branch", {"seed": seed + n, "bytes": size}) for n in range(state["branches"])]


async def branch(state: Branch) -> dict[str, Any]:
    CLOCK.tick()
    return {"messages": [AIMessage(text(state["seed"], state["bytes"]))]}


def steps(*, sync: bool = False) -> StateGraph[State]:
    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", more_sync if sync else more, ["work", END])
    return builder


def branches(*, sync: bool = False) -> StateGraph[State]:
    builder = StateGraph(State)
    builder.add_node("plan", plan)
    builder.add_node("branch", branch)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", fan_out_sync if sync else fan_out, ["branch"])
    builder.add_edge("branch", END)
    return builder


def graph_of(agent: Agent) -> str:
    """Which of the two runs it."""
    return "branches" if agent.branches else "steps"


def state_of(agent: Agent) -> dict[str, Any]:
    """What the agent starts with."""
    numbers = {"steps": agent.steps, "branches": agent.branches, "bytes": agent.bytes, "seed": agent.seed}
    return {"messages": [], "step": 0, **numbers}


def limit_of(agent: Agent) -> int:
    """LangGraph's own limit of supersteps is too low for long agents."""
    return agent.steps + 10
