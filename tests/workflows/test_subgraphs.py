"""Compiled subgraphs: as nodes, in each other, with memory of their own, called inside a node."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from perdure import durable
from perdure.testing import PerdureEnvironment


class State(TypedDict):
    log: Annotated[list[str], operator.add]


class Other(TypedDict):
    text: str
    log: Annotated[list[str], operator.add]


class Alien(TypedDict):
    words: list[str]


def say(text: str) -> Any:
    return lambda state: {"log": [text]}


def chain(schema: Any, **nodes: Any) -> StateGraph[Any, Any, Any, Any]:
    builder = StateGraph(schema)
    before = START
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    return builder


def ask(question: str) -> Any:
    return lambda state: {"log": [f"{question} {interrupt(question)}"]}


def nested(innermost: Any, *, schema: Any = State) -> Any:
    third = chain(State, three=say("three"), innermost=innermost).compile()
    second = chain(schema, two=say("two"), third=third, after_third=say("after third")).compile()
    return chain(State, one=say("one"), second=second, after_second=say("after second")).compile()


@pytest.mark.compat(
    "Subgraphs: as nodes, nested, in loops and sequences; with other schemas by a node that calls them"
)
@pytest.mark.parametrize("schema", [State, Other])
async def test_three_deep(same: Any, schema: Any) -> None:
    result = await same(nested(say("innermost"), schema=schema), {"log": ["in"]})
    assert result["log"][0] == "in"
    assert result["log"].count("innermost") == 1 or schema is State


@pytest.mark.compat("Subgraphs: interrupts and breakpoints inside, also side by side")
async def test_interrupts_in_the_deepest_graph(same: Any) -> None:
    def twice(state: State) -> dict[str, Any]:
        return {"log": [f"{interrupt('first')} {interrupt('second')}"]}

    for carry_every in (0, 1):
        result = await same(nested(twice), {"log": ["in"]}, answer=str.upper, carry_every=carry_every)
        assert "FIRST SECOND" in result["log"]


@pytest.mark.compat("Subgraphs: interrupts and breakpoints inside, also side by side")
async def test_breakpoints_in_a_subgraph_stop_the_run() -> None:
    inner = chain(State, a=say("a"), b=say("b")).compile(interrupt_before=["b"])
    graph = chain(State, inner=inner, last=say("last")).compile()
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"log": []})
        assert await run.wait_for_approvals()
        await run.resume(True)
        assert (await run.result())["log"][-2:] == ["b", "last"]


@pytest.mark.compat("Subgraphs: interrupts and breakpoints inside, also side by side")
async def test_parallel_subgraphs_ask_and_join(same: Any) -> None:
    builder = StateGraph(State)
    for name in ("left", "right"):
        builder.add_node(name, chain(State, ask=ask(name)).compile())
        builder.add_edge(START, name)
    builder.add_node("join", say("join"))
    builder.add_edge(["left", "right"], "join")
    result = await same(builder.compile(), {"log": []}, answer=str.upper)
    assert result["log"][-1] == "join"
    assert {"left LEFT", "right RIGHT"} <= set(result["log"])


@pytest.mark.compat("Subgraphs: `Command.PARENT`")
async def test_commands_for_the_parent_from_three_deep(same: Any) -> None:
    def up(state: State) -> Command[Any]:
        return Command(graph=Command.PARENT, update={"log": ["from below"]}, goto="target")

    third = chain(State, up=up, never=say("never")).compile()
    second = StateGraph(State)
    second.add_node("third", third, destinations=("target",))
    second.add_node(
        "target", lambda state: Command(graph=Command.PARENT, goto=["target", Send("sent", {"n": 1})])
    )
    second.add_edge(START, "third")
    builder = StateGraph(State)
    builder.add_node("second", second.compile())
    builder.add_node("target", say("target"))
    builder.add_node("sent", lambda piece: {"log": [f"sent {piece['n']}"]})
    builder.add_edge(START, "second")
    result = await same(builder.compile(), {"log": []})
    assert "target" in result["log"]
    assert "sent 1" in result["log"]


@pytest.mark.compat(
    "Subgraphs: as nodes, nested, in loops and sequences; with other schemas by a node that calls them"
)
async def test_different_schemas_by_a_node_that_calls_the_subgraph(same: Any) -> None:
    def reverse(state: Alien) -> dict[str, Any]:
        return {"words": state["words"][::-1]}

    inner = chain(Alien, reverse=reverse, again=lambda state: {"words": [*state["words"], "end"]}).compile()

    def call(state: State) -> dict[str, Any]:
        return {"log": inner.invoke({"words": state["log"]})["words"]}

    async def acall(state: State, config: RunnableConfig) -> dict[str, Any]:
        return {"log": (await inner.ainvoke({"words": state["log"]}, config))["words"]}

    result = await same(chain(State, call=call, acall=acall).compile(), {"log": ["a", "b"]})
    assert result["log"] == ["a", "b", "b", "a", "end", "end", "a", "b", "b", "a", "end"]


@pytest.mark.compat("Subgraphs: called inside a node, asking, not begun again")
async def test_a_subgraph_called_inside_a_node_asks_and_is_not_begun_again(same: Any) -> None:
    calls: list[str] = []

    def count(state: State) -> dict[str, Any]:
        calls.append("count")
        return {"log": ["counted"]}

    inner = chain(
        State, count=count, ask=ask("sure?"), deeper=chain(State, ask=ask("really?")).compile()
    ).compile()

    def call(state: State) -> dict[str, Any]:
        return {"log": inner.invoke({"log": []})["log"][:3]}

    result = await same(chain(State, call=call).compile(), {"log": ["in"]}, answer=str.upper)
    assert result["log"][:3] == ["in", "counted", "sure? SURE?"]
    assert len(calls) == 2  # once natively, once durably


async def runs_of_a_thread(graph: Any, times: int = 3, **environment: Any) -> list[Any]:
    results = []
    async with PerdureEnvironment.start({"g": graph}, **environment) as env:
        for _ in range(times):
            run = await env.start("g", {"log": []}, thread_id="t", keep_open=True)
            results.append((await run.result())["log"])
    return results


async def natively(graph: Any, times: int = 3) -> list[Any]:
    saved = graph.copy({"checkpointer": InMemorySaver()})
    config = {"configurable": {"thread_id": "t"}}
    return [(await saved.ainvoke({"log": []}, config))["log"] for _ in range(times)]


class Memory(TypedDict):
    log: Annotated[list[str], operator.add]
    visits: Annotated[int, operator.add]


@pytest.mark.compat("Subgraphs: a memory of their own (`checkpointer=True`)")
@pytest.mark.parametrize("memory", [True, False, None])
@pytest.mark.parametrize("carry_every", [0, 2])
async def test_a_subgraphs_own_memory_over_the_runs_of_a_thread(
    memory: bool | None, carry_every: int
) -> None:
    def visit(state: Memory) -> dict[str, Any]:
        return {"visits": 1, "log": [f"visit {state['visits'] + 1}"]}

    inner = chain(Memory, visit=visit).compile(checkpointer=memory)
    graph = chain(State, first=say("first"), inner=inner).compile()
    ours = await runs_of_a_thread(graph, carry_every=carry_every)
    assert ours == await natively(graph)
    assert ("visit 3" in ours[-1]) == (memory is True)


@pytest.mark.compat("Subgraphs: a memory of their own (`checkpointer=True`)")
async def test_a_called_subgraph_with_memory_of_its_own(same: Any) -> None:
    def visit(state: Memory) -> dict[str, Any]:
        return {"visits": 1, "log": [f"visit {state['visits'] + 1}"]}

    inner = chain(Memory, visit=visit).compile(checkpointer=True)

    def call(state: State) -> dict[str, Any]:
        return {"log": [inner.invoke({"log": []})["log"][-1]]}

    graph = chain(State, call=call).compile()
    assert await runs_of_a_thread(graph) == await natively(graph)


@pytest.mark.compat(
    "Subgraphs: as nodes, nested, in loops and sequences; with other schemas by a node that calls them"
)
async def test_a_loop_through_a_subgraph(same: Any) -> None:
    inner = chain(State, a=say("a"), b=say("b")).compile()
    builder = StateGraph(State).add_node("inner", inner).add_edge(START, "inner")
    builder.add_conditional_edges("inner", lambda state: "inner" if len(state["log"]) < 30 else END)
    for carry_every in (0, 3):
        await same(builder.compile(), {"log": []}, carry_every=carry_every)


async def test_a_failure_three_deep_names_the_path(same: Any) -> None:
    def fails(state: State) -> dict[str, Any]:
        raise ValueError("no")

    error = await same(nested(fails), {"log": []})
    assert error.node == "second/third/innermost"


async def test_a_subgraph_in_a_sequence_and_one_with_bound_config(same: Any) -> None:
    inner = chain(State, tags=lambda state: {"log": ["inner"]}).compile()

    def with_tag(state: State, config: RunnableConfig) -> dict[str, Any]:
        return {"log": [str("mine" in config["tags"]), str(config["configurable"]["x"])]}

    bound = chain(State, tag=with_tag).compile().with_config(tags=["mine"], configurable={"x": 1})
    graph = chain(
        State, sequence=inner | (lambda state: {"log": [f"{len(state['log'])}"]}), bound=bound
    ).compile()
    assert (await same(graph, {"log": ["in"]}))["log"][-2:] == ["True", "1"]


async def test_run_in_workflow_inside_a_subgraph(same: Any) -> None:
    inner = StateGraph(State).add_node("cheap", say("cheap"), metadata=durable(run_in="workflow"))
    inner.add_edge(START, "cheap")
    graph = chain(State, inner=inner.compile()).compile()
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"log": []})
        assert await run.result() == {"log": ["cheap"]}
        history = await run.handle.fetch_history()
        assert not [e for e in history.events if e.HasField("activity_task_scheduled_event_attributes")]
