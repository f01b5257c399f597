"""The graphs whose histories are kept in `histories/`, and the runs that were recorded.

    python tests/replay/recorded.py            # record what is not there yet
    python tests/replay/recorded.py --replay   # replay all of them, in this process

A kept history is never recorded again: it stands for threads that run at the time of a deployment.
"""

from __future__ import annotations

import asyncio
import operator
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from perdure.contract.thread import RunRequest
from perdure.errors import RunFailed
from perdure.server.threads import ServedThreads
from perdure.testing import PerdureEnvironment
from perdure.testing.histories import replay

HISTORIES = Path(__file__).parent / "histories"


@dataclass
class Item:
    name: str
    amount: int


class Order(TypedDict):
    items: list[Item]
    log: Annotated[list[str], operator.add]


def _chat() -> Any:
    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"answer {len(state['messages'])}")]}

    def enough(state: MessagesState) -> str:
        return "answer" if len(state["messages"]) < 5 else "__end__"

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_conditional_edges("answer", enough, ["answer", "__end__"])
    return builder.compile()


def _fan_out() -> Any:
    def plan(state: Order) -> Command[Any]:
        return Command(goto=[Send("pack", {"item": item}) for item in state["items"]])

    def pack(state: dict[str, Any]) -> dict[str, Any]:
        item: Item = state["item"]
        return {"log": [f"{item.amount} x {item.name}"]}

    builder = StateGraph(Order)
    builder.add_node("plan", plan, destinations=("pack",))
    builder.add_node("pack", pack)
    builder.add_edge(START, "plan")
    return builder.compile()


def _approvals() -> Any:
    def ask(who: str) -> Any:
        def node(state: Order) -> dict[str, Any]:
            first = interrupt({"ask": who, "expires_in": 3600})
            return {"log": [f"{who}: {first}, {interrupt({'ask': f'{who}, sure?'})}"]}

        return node

    inner = StateGraph(Order)
    inner.add_node("boss", ask("boss"))
    inner.add_edge(START, "boss")
    builder = StateGraph(Order)
    builder.add_node("team", inner.compile())
    builder.add_node("finance", ask("finance"))
    builder.add_edge(START, "team")
    builder.add_edge(START, "finance")
    return builder.compile()


GRAPHS = {"chat": _chat(), "fan_out": _fan_out(), "approvals": _approvals(), "served": _approvals()}


async def _record_approvals(env: PerdureEnvironment) -> Any:
    run = await env.start("approvals", {"items": [], "log": []}, thread_id="approvals")
    answered: set[str] = set()
    while True:
        items = [item for item in await run.wait_for_approvals() if item.id not in answered]
        if not items and len(answered) == 4:
            break
        for item in items[:1]:
            await run.resume({item.id: f"yes to {item.value['ask']}"})
            answered.add(item.id)
    await run.result()
    return run.handle


async def _record_served(env: PerdureEnvironment) -> Any:
    """As the HTTP server does it: runs that end when they ask, one that fails, one of another graph."""
    threads = ServedThreads(env.perdure, carry_every=0)
    handle = env.client.get_workflow_handle("served")

    async def run(number: int, input: Any, graph: str = "served") -> None:
        request = RunRequest(
            id=f"run-{number}",
            input=input,
            graph=graph,
            ends_when_interrupted=True,
            assistant_id=graph,
            stream=["values", "messages"],
        )
        await threads.start_run("served", request, create={"kept": True})
        await threads.result("served", request.id)

    await run(1, {"items": [], "log": []})
    for number, ask in enumerate(("boss", "finance", "boss, sure?", "finance, sure?"), 2):
        state = await threads.state("served")
        [item] = [item for item in state.interrupts if item.value["ask"] == ask]
        await run(number, Command(resume={item.id: f"yes to {ask}"}))
    await threads.merge_metadata("served", {"more": 1})
    await run(6, {"messages": [("user", "hello")]}, "chat")
    with suppress(RunFailed):
        await run(7, {"messages": 5}, "chat")
    return handle


async def _record(name: str, env: PerdureEnvironment) -> Any:
    if name == "approvals":
        return await _record_approvals(env)
    if name == "served":
        return await _record_served(env)
    inputs: dict[str, Any] = {
        "chat": {"messages": [("user", "hello")]},
        "fan_out": {"items": [Item("apple", 1), Item("pear", 2), Item("plum", 3)], "log": []},
    }
    run = await env.start(name, inputs[name], thread_id=name)
    await run.result()
    return run.handle


async def record(folder: Path = HISTORIES) -> None:
    for name in GRAPHS:
        path = folder / f"{name}-1.json"
        if not path.exists():
            async with PerdureEnvironment.start(GRAPHS, replay_every_task=False) as env:
                handle = await _record(name, env)
                path.write_text((await handle.fetch_history()).to_json() + "\n")


async def replay_all(folder: Path = HISTORIES) -> int:
    files = sorted(folder.glob("*.json"))  # noqa: ASYNC240 - a script
    for path in files:
        await replay(path.read_text(), GRAPHS, thread_id=path.stem.rpartition("-")[0])
    return len(files)


if __name__ == "__main__":
    if "--replay" in sys.argv:
        print(asyncio.run(replay_all()))
    else:
        asyncio.run(record())
