"""Cases by hand: graphs as nodes and graphs that nodes call; entrypoints and tasks."""

from __future__ import annotations

import itertools
import operator
from typing import Annotated, Any

from case_table import START_LOG, Calls, Log, case, chain, graph, step
from langchain_core.runnables import RunnableConfig
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict


def holding(inner: Any, *nodes: Any, edges: str = "> inner", **options: Any) -> Any:
    """A builder with the graph as a node named `inner`."""
    builder = graph(*nodes, **options)
    builder.add_node("inner", inner)
    for words in (words.split() for words in edges.split(",")):
        for source, target in itertools.pairwise(words):
            builder.add_edge(START if source == ">" else source, target)
    return builder


@case()
def a_subgraph_that_shares_the_state(calls: Calls) -> Any:
    inner = chain(calls, "x", "y").compile()
    return holding(inner, step(calls, "a"), step(calls, "b"), edges="> a inner b").compile()


@case()
def three_subgraphs_deep(calls: Calls) -> Any:
    inner = chain(calls, "x").compile()
    middle = holding(inner, step(calls, "m"), edges="> inner m").compile()
    return holding(middle, step(calls, "a"), edges="> a inner").compile()


@case({"total": 1})
def a_subgraph_that_shares_one_value(calls: Calls) -> Any:
    class Outer(TypedDict, total=False):
        total: Annotated[int, operator.add]
        outside: str

    class Inner(TypedDict, total=False):
        total: int
        inside: str

    def work(state: Inner) -> Inner:
        return {"total": state["total"] * 10, "inside": "kept inside"}

    def look(state: Outer) -> Outer:
        return {"outside": f"{sorted(state)}"}

    inner = graph(work, edges="> work", schema=Inner).compile()
    return holding(inner, look, edges="> inner look", schema=Outer).compile()


@case()
def a_subgraph_with_other_values_is_called(calls: Calls) -> Any:
    class Inner(TypedDict, total=False):
        number: int

    def double(state: Inner) -> Inner:
        calls.append("double")
        return {"number": state["number"] * 2}

    inner = graph(double, edges="> double", schema=Inner).compile()

    def call(state: Log) -> dict[str, Any]:
        return {"log": [inner.invoke({"number": number})["number"] for number in (1, 2, 3)]}

    async def acall(state: Log) -> dict[str, Any]:
        return {"log": [(await inner.ainvoke({"number": 5}))["number"]]}

    return graph(call, acall, edges="> call acall").compile()


@case()
def a_subgraph_in_a_loop(calls: Calls) -> Any:
    builder = holding(chain(calls, "x").compile())
    builder.add_conditional_edges(
        "inner", lambda state: "inner" if len(state["log"]) < 9 else END, ["inner", END]
    )
    return builder.compile()


@case()
def a_loop_in_a_subgraph(calls: Calls) -> Any:
    inner = graph(step(calls, "x"), edges="> x")
    inner.add_conditional_edges("x", lambda state: "x" if len(state["log"]) < 4 else END, ["x", END])
    return holding(inner.compile(), step(calls, "b"), edges="> inner b").compile()


@case()
def two_subgraphs_side_by_side(calls: Calls) -> Any:
    builder = graph(step(calls, "end"))
    for name in ("left", "right"):
        builder.add_node(name, chain(calls, f"{name}-1", f"{name}-2").compile())
        builder.add_edge(START, name)
        builder.add_edge(name, "end")
    return builder.compile()


@case()
def a_subgraph_is_sent(calls: Calls) -> Any:
    builder = holding(chain(calls, "x", "y").compile(), step(calls, "end"), edges="inner end")
    builder.add_conditional_edges(
        START, lambda state: [Send("inner", {"log": [n]}) for n in range(3)], ["inner"]
    )
    return builder.compile()


@case()
def a_subgraph_sends(calls: Calls) -> Any:
    inner = graph(step(calls, "x"), step(calls, "y"), edges="> x")
    inner.add_conditional_edges("x", lambda state: [Send("y", {"log": []}) for _ in range(3)], ["y"])
    return holding(inner.compile(), step(calls, "b"), edges="> inner b").compile()


def _leaving(calls: Calls, goto: Any, name: str = "leave") -> Any:
    def leave(state: Any) -> Command[Any]:
        calls.append(name)
        return Command(graph=Command.PARENT, update={"log": [name]}, goto=goto)

    leave.__name__ = name
    return leave


@case()
def a_subgraph_sends_its_parent_elsewhere(calls: Calls) -> Any:
    inner = graph(_leaving(calls, "b"), step(calls, "never"), edges="> leave never").compile()
    return holding(inner, step(calls, "a"), step(calls, "b"), edges="> inner a").compile()


@case()
def a_subgraph_sends_its_parent_to_several(calls: Calls) -> Any:
    inner = graph(_leaving(calls, ["a", Send("b", {"log": []})]), edges="> leave").compile()
    return holding(inner, step(calls, "a"), step(calls, "b")).compile()


@case()
def the_innermost_graph_commands_its_parent(calls: Calls) -> Any:
    inner = graph(_leaving(calls, "m"), edges="> leave").compile()
    middle = holding(inner, step(calls, "m")).compile()
    return holding(middle, step(calls, "a"), edges="> inner a").compile()


@case()
def a_called_graph_commands_its_parent(calls: Calls) -> Any:
    inner = graph(_leaving(calls, "b"), edges="> leave").compile()

    def call(state: Log) -> dict[str, Any]:
        return {"log": inner.invoke({"log": []})["log"]}

    return graph(call, step(calls, "a"), step(calls, "b"), edges="> call a").compile()


@case()
def the_outermost_graph_has_no_parent(calls: Calls) -> Any:
    return graph(_leaving(calls, "a"), step(calls, "a"), edges="> leave").compile()


@case(START_LOG, {"log": ["again"]})
def a_subgraph_with_a_memory_of_its_own(calls: Calls) -> Any:
    class Inner(TypedDict, total=False):
        log: list[Any]
        seen: Annotated[list[Any], operator.add]

    def note(state: Inner) -> Inner:
        return {"seen": [len(state["log"])], "log": []}

    def tell(state: Inner) -> Inner:
        return {"log": [list(state["seen"])]}

    inner = graph(note, tell, edges="> note tell", schema=Inner).compile(checkpointer=True)
    return holding(inner, step(calls, "a"), edges="> inner a").compile()


@case()
def the_same_graph_in_two_nodes(calls: Calls) -> Any:
    inner = chain(calls, "x").compile()
    builder = StateGraph(Log)
    builder.add_node("one", inner)
    builder.add_node("two", inner)
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    return builder.compile()


@task
def twice(number: int) -> int:
    return number * 2


@task
async def asked(question: str) -> str:
    return interrupt(question)


@task
def refuse(number: int) -> int:
    raise ValueError(f"not {number}")


@case([1, 2, 3])
def an_entrypoint_with_parallel_tasks(calls: Calls) -> Any:
    @entrypoint()
    def total(numbers: list[int]) -> int:
        return sum(future.result() for future in [twice(number) for number in numbers])

    return total


@case(1, 2, 3)
def an_entrypoint_that_remembers(calls: Calls) -> Any:
    @entrypoint()
    async def add(number: int, *, previous: int | None = None) -> Any:
        total = (previous or 0) + await twice(number)
        return entrypoint.final(value={"total": total}, save=total)

    return add


@case("what?")
def a_task_asks(calls: Calls) -> Any:
    @entrypoint()
    async def ask(question: str) -> list[Any]:
        calls.append("ask")
        return [await twice(1), await asked(question), await asked(f"{question} again"), interrupt("done?")]

    return ask


@case(3)
def a_task_fails(calls: Calls) -> Any:
    @entrypoint()
    async def run(number: int) -> int:
        return await refuse(number)

    return run


@case(3)
def a_failed_task_is_caught(calls: Calls) -> Any:
    @entrypoint()
    async def run(number: int) -> Any:
        try:
            return await refuse(number)
        except ValueError as error:
            return [str(error), await twice(number)]

    return run


@case()
def a_node_calls_tasks(calls: Calls) -> Any:
    async def work(state: Log) -> dict[str, Any]:
        futures = [twice(number) for number in range(4)]
        return {"log": [await future for future in futures]}

    def sync(state: Log) -> dict[str, Any]:
        return {"log": [twice(len(state["log"])).result()]}

    return graph(work, sync, edges="> work sync").compile()


@case(limit=None)
def a_subgraph_with_a_limit_of_its_own_never_ends(calls: Calls) -> Any:
    inner = graph(step(calls, "x"), edges="> x x").compile().with_config({"recursion_limit": 7})
    return holding(inner).compile()


@case(limit=30)
def the_limit_of_the_run_beats_that_of_a_subgraph(calls: Calls) -> Any:
    inner = chain(calls, "t", "u", "v", "w", "x", "y", "z").compile().with_config({"recursion_limit": 2})
    return holding(inner).compile()


@case(limit=None)
def a_subgraph_below_one_with_a_limit_never_ends(calls: Calls) -> Any:
    inner = graph(step(calls, "x"), edges="> x x").compile().with_config({"recursion_limit": 50})
    middle = holding(inner).compile().with_config({"recursion_limit": 6})
    return holding(middle).compile()


@case(limit=8)
def late_subgraphs_have_as_many_steps_as_early_ones(calls: Calls) -> Any:
    inner = chain(calls, "v", "w", "x", "y", "z").compile()
    builder = holding(inner)
    builder.add_conditional_edges("inner", lambda state: END if len(state["log"]) > 60 else "inner")
    return builder.compile()


@case(limit=None)
def a_called_subgraph_has_a_limit_of_its_own(calls: Calls) -> Any:
    inner = graph(step(calls, "x"), edges="> x x").compile().with_config({"recursion_limit": 5})

    async def call(state: Log) -> Any:
        return await inner.ainvoke({"log": []})

    return graph(call, edges="> call").compile()


@case()
def a_called_subgraph_has_the_limit_of_the_run(calls: Calls) -> Any:
    inner = graph(step(calls, "x"), edges="> x x").compile()

    async def call(state: Log, config: RunnableConfig) -> Any:
        return await inner.ainvoke({"log": []}, config)

    return graph(call, edges="> call").compile()
