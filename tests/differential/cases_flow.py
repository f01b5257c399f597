"""Cases by hand: edges, routers, commands, sends, loops, and what may be a node."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any

from case_table import Calls, Log, case, chain, graph, step
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.managed import IsLastStep, RemainingSteps
from langgraph.runtime import Runtime
from langgraph.types import Command, Send
from typing_extensions import TypedDict


@case()
def one_node(calls: Calls) -> Any:
    return chain(calls, "a").compile()


@case()
def three_in_a_row(calls: Calls) -> Any:
    return chain(calls, "a", "b", "c").compile()


@case()
def fan_out_and_in(calls: Calls) -> Any:
    return graph(*(step(calls, name) for name in "abcd"), edges="> a b d, a c d").compile()


@case()
def uneven_branches_reach_a_node_twice(calls: Calls) -> Any:
    return graph(*(step(calls, name) for name in "abcd"), edges="> a b c d, a d").compile()


@case()
def an_edge_waits_for_uneven_branches(calls: Calls) -> Any:
    builder = graph(*(step(calls, name) for name in "abcde"), edges="> a b c, a d")
    builder.add_edge(["c", "d"], "e")
    return builder.compile()


@case()
def a_deferred_node_runs_last(calls: Calls) -> Any:
    builder = graph(*(step(calls, name) for name in "abcd"), edges="> a b c, a d")
    builder.add_node("late", step(calls, "late"), defer=True)
    builder.add_edge("d", "late")
    builder.add_edge("c", "late")
    return builder.compile()


@case()
def a_deferred_node_in_a_loop(calls: Calls) -> Any:
    builder = graph(step(calls, "a"), step(calls, "b"), edges="> a b")
    builder.add_node("late", step(calls, "late"), defer=True)
    builder.add_edge("a", "late")
    builder.add_conditional_edges("late", lambda state: "a" if len(state["log"]) < 7 else END, ["a", END])
    return builder.compile()


@case({"log": ["left"]}, {"log": ["right"]})
def the_input_decides_where_it_starts(calls: Calls) -> Any:
    builder = graph(step(calls, "left"), step(calls, "right"))
    builder.add_conditional_edges(START, lambda state: state["log"][-1], ["left", "right"])
    return builder.compile()


@case()
def a_router_with_labels(calls: Calls) -> Any:
    builder = graph(step(calls, "a"), step(calls, "b"), step(calls, "c"), edges="> a")
    builder.add_conditional_edges("a", lambda state: len(state["log"]) > 1, {True: "b", False: "c"})
    return builder.compile()


@case()
def an_async_router_to_several(calls: Calls) -> Any:
    builder = graph(*(step(calls, name) for name in "abcd"), edges="> a, b d, c d")

    async def route(state: Log) -> list[str]:
        return ["c", "b"]

    builder.add_conditional_edges("a", route, ["b", "c"])
    return builder.compile()


@case()
def two_routers_on_one_node(calls: Calls) -> Any:
    builder = graph(*(step(calls, name) for name in "abc"), edges="> a")

    def one(state: Log) -> str:
        return "b"

    def other(state: Log) -> str:
        return "c"

    builder.add_conditional_edges("a", one, ["b", END])
    builder.add_conditional_edges("a", other, ["c", END])
    return builder.compile()


@case()
def a_router_beside_an_edge(calls: Calls) -> Any:
    builder = graph(*(step(calls, name) for name in "abc"), edges="> a b")
    builder.add_conditional_edges("a", lambda state: ["c", END], ["c", END])
    return builder.compile()


def _loop(calls: Calls, length: int) -> Any:
    builder = graph(step(calls, "work"), edges="> work")
    builder.add_conditional_edges(
        "work", lambda state: "work" if len(state["log"]) < length else END, ["work", END]
    )
    return builder.compile()


@case()
def a_loop_that_ends(calls: Calls) -> Any:
    return _loop(calls, 8)


@case(limit=6)
def a_loop_that_ends_below_the_limit(calls: Calls) -> Any:
    return _loop(calls, 6)


@case(limit=6)
def a_loop_that_ends_at_the_limit(calls: Calls) -> Any:
    return _loop(calls, 7)


@case(limit=6)
def a_loop_that_ends_above_the_limit(calls: Calls) -> Any:
    return _loop(calls, 8)


@case(limit=1)
def a_limit_of_one(calls: Calls) -> Any:
    return chain(calls, "a", "b").compile()


@case(Log(log=["one"]), Log(log=["two"]), limit=2)
def two_runs_with_a_limit_each(calls: Calls) -> Any:
    return chain(calls, "a").compile()


@case(limit=5)
def managed_values_count_the_steps(calls: Calls) -> Any:
    class Managed(Log, total=False):
        remaining: RemainingSteps
        is_last: IsLastStep

    def work(state: Managed) -> dict[str, Any]:
        return {"log": [(state["remaining"], state["is_last"])]}

    builder = graph(work, edges="> work", schema=Managed)
    builder.add_conditional_edges(
        "work", lambda state: END if state["remaining"] < 2 else "work", ["work", END]
    )
    return builder.compile()


@case()
def map_and_reduce(calls: Calls) -> Any:
    def part(sent: Any) -> dict[str, Any]:
        calls.append("part")
        return {"log": [sent["number"] ** 2]}

    builder = graph(step(calls, "plan"), part, step(calls, "sum"), edges="> plan, part sum")
    builder.add_conditional_edges(
        "plan", lambda state: [Send("part", {"number": i}) for i in range(12)], ["part"]
    )
    return builder.compile()


@case({"log": [3, 1, 2]})
def sends_from_the_start(calls: Calls) -> Any:
    def part(sent: int) -> dict[str, Any]:
        return {"log": [sent * 10]}

    builder = graph(part)
    builder.add_conditional_edges(
        START, lambda state: [Send("part", number) for number in state["log"]], ["part"]
    )
    return builder.compile()


@case()
def sends_to_several_nodes_and_a_name(calls: Calls) -> Any:
    builder = graph(*(step(calls, name) for name in "abcd"), edges="> a, b d")
    builder.add_conditional_edges(
        "a", lambda state: [Send("b", {"log": []}), "c", Send("b", {}), Send("c", {})], ["b", "c"]
    )
    return builder.compile()


@case()
def a_sent_node_sends(calls: Calls) -> Any:
    def split(sent: Any) -> Command[Any]:
        depth = sent.get("depth", 0)
        calls.append(f"split {depth}")
        goto = [Send("split", {"depth": depth + 1}) for _ in range(2)] if depth < 2 else []
        return Command(update={"log": [depth]}, goto=goto)

    return graph(split, edges="> split").compile()


@case()
def a_command_goes_to_one(calls: Calls) -> Any:
    def decide(state: Log) -> Command[Any]:
        return Command(update={"log": ["decided"]}, goto="b")

    return graph(decide, step(calls, "a"), step(calls, "b"), edges="> decide").compile()


@case()
def a_command_goes_to_several(calls: Calls) -> Any:
    def decide(state: Log) -> Command[Any]:
        return Command(goto=["b", "a", Send("c", {"log": []})])

    return graph(decide, *(step(calls, name) for name in "abc"), edges="> decide").compile()


@case()
def a_command_beside_an_edge(calls: Calls) -> Any:
    def decide(state: Log) -> Command[Any]:
        return Command(update={"log": ["decided"]}, goto="b")

    return graph(decide, step(calls, "a"), step(calls, "b"), edges="> decide a").compile()


@case()
def a_node_returns_commands_and_updates(calls: Calls) -> Any:
    def decide(state: Log) -> list[Any]:
        return [
            Command(update={"log": [1]}, goto="a"),
            {"log": [2]},
            Command(goto="b"),
            Command(update={"log": [3]}),
        ]

    return graph(decide, step(calls, "a"), step(calls, "b"), edges="> decide").compile()


@case()
def a_command_updates_by_pairs(calls: Calls) -> Any:
    def decide(state: Log) -> Command[Any]:
        return Command(update=[("log", [1]), ("log", [2]), ("last", "x")])

    return graph(decide, edges="> decide").compile()


@case()
def a_command_to_the_end(calls: Calls) -> Any:
    def decide(state: Log) -> Command[Any]:
        return Command(update={"last": "done"}, goto=END)

    return graph(decide, edges="> decide").compile()


@case()
def a_node_goes_to_itself(calls: Calls) -> Any:
    def again(state: Log) -> Command[Any]:
        calls.append("again")
        return Command(update={"log": [len(state["log"])]}, goto="again" if len(state["log"]) < 4 else END)

    return graph(again, edges="> again").compile()


@case()
def two_agents_hand_over(calls: Calls) -> Any:
    def agent(name: str, other: str) -> Any:
        def node(state: Log) -> Command[Any]:
            calls.append(name)
            return Command(update={"log": [name]}, goto=other if len(state["log"]) < 5 else END)

        node.__name__ = name
        return node

    return graph(agent("ann", "bob"), agent("bob", "ann"), edges="> ann").compile()


@case()
def nodes_of_many_kinds(calls: Calls) -> Any:
    class Counter:
        def __call__(self, state: Log) -> dict[str, Any]:
            return {"log": ["object"]}

        async def method(self, state: Log) -> dict[str, Any]:
            return {"log": ["method"]}

    def named(name: str, state: Log) -> dict[str, Any]:
        return {"log": [name]}

    builder = StateGraph(Log)
    builder.add_node("object", Counter())
    builder.add_node("method", Counter().method)
    builder.add_node("partial", functools.partial(named, "partial"))
    builder.add_node("lambda", lambda state: {"log": ["lambda"]})
    builder.add_node("runnable", RunnableLambda(lambda state: len(state["log"])) | (lambda n: {"log": [n]}))
    builder.add_sequence([step(calls, "first"), step(calls, "second")])
    for name in ("object", "method", "partial", "lambda", "runnable", "first"):
        builder.add_edge(START, name)
    return builder.compile()


@case()
def one_function_in_two_nodes(calls: Calls) -> Any:
    same = step(calls, "same")
    builder = StateGraph(Log)
    builder.add_node("a", same)
    builder.add_node("b", same)
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    return builder.compile()


@case()
def nodes_that_say_nothing(calls: Calls) -> Any:
    def silent(state: Log) -> None:
        calls.append("silent")

    def empty(state: Log) -> dict[str, Any]:
        return {}

    return graph(silent, empty, step(calls, "a"), edges="> silent empty a").compile()


@case(context={"name": "Ada"})
def the_context_reaches_every_node(calls: Calls) -> Any:
    class Context(TypedDict):
        name: str

    def greet(state: Log, runtime: Runtime[Context]) -> dict[str, Any]:
        return {"log": [runtime.context["name"]]}

    async def shout(state: Log, runtime: Runtime[Context]) -> dict[str, Any]:
        return {"log": [runtime.context["name"].upper()]}

    return graph(greet, shout, edges="> greet shout", context_schema=Context).compile()


@case({"question": "why"}, {"question": "how"})
def schemas_for_input_output_and_between(calls: Calls) -> Any:
    class Asked(TypedDict):
        question: str

    class Told(TypedDict):
        answer: str

    class Between(TypedDict):
        notes: list[str]

    class Whole(Asked, Told, total=False):
        log: Annotated[list[str], operator.add]

    def look(state: Asked) -> Between:
        return {"notes": [f"about {state['question']}"]}

    def tell(state: Between) -> Whole:
        return {"answer": " ".join(state["notes"]), "log": ["told"]}

    builder = StateGraph(Whole, input_schema=Asked, output_schema=Told)
    builder.add_node("look", look)
    builder.add_node("tell", tell, input_schema=Between)
    builder.add_edge(START, "look")
    builder.add_edge("look", "tell")
    return builder.compile()
