"""Cases by hand: `interrupt()` and breakpoints, wherever they can be."""

from __future__ import annotations

from typing import Any

from case_table import START_LOG, Calls, Log, case, chain, graph, step
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt


def asking(calls: Calls, name: str, *questions: Any) -> Any:
    def node(state: Any) -> dict[str, Any]:
        calls.append(name)
        return {"log": [interrupt(question) for question in questions or (name,)]}

    node.__name__ = name
    return node


def nested(calls: Calls, depth: int, *, name: str = "ask") -> Any:
    """A graph of graphs, the innermost of which asks between two steps."""
    if depth == 0:
        return graph(
            step(calls, "before"), asking(calls, name), step(calls, "after"), edges=f"> before {name} after"
        ).compile()
    builder = graph(step(calls, f"before {depth}"), step(calls, f"after {depth}"))
    builder.add_node("inner", nested(calls, depth - 1, name=name))
    builder.add_edge(START, f"before {depth}")
    builder.add_edge(f"before {depth}", "inner")
    builder.add_edge("inner", f"after {depth}")
    return builder.compile()


@case()
def one_question(calls: Calls) -> Any:
    return graph(step(calls, "a"), asking(calls, "ask"), step(calls, "b"), edges="> a ask b").compile()


@case()
def three_questions_of_one_node(calls: Calls) -> Any:
    return graph(asking(calls, "ask", "one", "two", "three"), edges="> ask").compile()


@case()
def a_question_asked_again_until_the_answer_fits(calls: Calls) -> Any:
    def ask(state: Log) -> dict[str, Any]:
        calls.append("ask")
        number = 0
        while interrupt(f"question {number}") != "answer to 'question 1'":
            number += 1
        return {"log": [number]}

    return graph(ask, edges="> ask").compile()


@case(answer=lambda value: {"approved": value["amount"] < 5, "by": ["Ada"]})
def questions_and_answers_are_values(calls: Calls) -> Any:
    def ask(state: Log) -> dict[str, Any]:
        return {"log": [interrupt({"amount": amount, "of": {"unit": "kg"}}) for amount in (3, 7)]}

    return graph(ask, edges="> ask").compile()


@case(answer=lambda value: None)
def an_answer_of_nothing(calls: Calls) -> Any:
    return graph(asking(calls, "ask"), edges="> ask").compile()


@case(answer=lambda value: "right")
def an_answer_decides_the_way(calls: Calls) -> Any:
    def ask(state: Log) -> Command[Any]:
        return Command(goto=interrupt("left or right?"), update={"log": ["asked"]})

    return graph(ask, step(calls, "left"), step(calls, "right"), edges="> ask").compile()


@case()
def a_question_in_a_loop(calls: Calls) -> Any:
    def ask(state: Log) -> dict[str, Any]:
        calls.append("ask")
        return {"log": [interrupt(len(state["log"]))]}

    builder = graph(ask, edges="> ask")
    builder.add_conditional_edges("ask", lambda state: "ask" if len(state["log"]) < 3 else END, ["ask", END])
    return builder.compile()


@case()
def a_question_only_sometimes(calls: Calls) -> Any:
    def maybe(state: Log) -> dict[str, Any]:
        calls.append("maybe")
        return {"log": [interrupt("long") if len(state["log"]) > 2 else "short"]}

    builder = graph(maybe, edges="> maybe")
    builder.add_conditional_edges(
        "maybe", lambda state: "maybe" if len(state["log"]) < 4 else END, ["maybe", END]
    )
    return builder.compile()


@case()
def two_branches_ask_at_once(calls: Calls) -> Any:
    return graph(
        asking(calls, "x"), asking(calls, "y"), step(calls, "end"), edges="> x end, > y end"
    ).compile()


@case(one_by_one=True)
def two_branches_are_answered_one_by_one(calls: Calls) -> Any:
    return graph(
        asking(calls, "x"), asking(calls, "y"), step(calls, "end"), edges="> x end, > y end"
    ).compile()


@case(one_by_one=True)
def branches_with_two_questions_each_one_by_one(calls: Calls) -> Any:
    return graph(asking(calls, "x", "x1", "x2"), asking(calls, "y", "y1"), edges="> x, > y").compile()


@case()
def one_branch_asks_and_one_works(calls: Calls) -> Any:
    return graph(asking(calls, "ask"), step(calls, "a"), step(calls, "b"), edges="> ask, > a b").compile()


@case()
def a_finished_branch_goes_a_long_way(calls: Calls) -> Any:
    return graph(asking(calls, "ask"), *(step(calls, n) for n in "abc"), edges="> a b c, a ask c").compile()


@case()
def every_sent_call_asks(calls: Calls) -> Any:
    def ask(sent: Any) -> dict[str, Any]:
        calls.append("ask")
        return {"log": [interrupt(f"number {sent['number']}")]}

    builder = graph(ask, step(calls, "end"), edges="ask end")
    builder.add_conditional_edges(
        START, lambda state: [Send("ask", {"number": n}) for n in range(4)], ["ask"]
    )
    return builder.compile()


@case(one_by_one=True)
def sent_calls_are_answered_one_by_one(calls: Calls) -> Any:
    def ask(sent: Any) -> dict[str, Any]:
        calls.append("ask")
        return {"log": [interrupt(f"number {sent['number']}") if sent["number"] else "no question"]}

    builder = graph(ask, step(calls, "end"), edges="ask end")
    builder.add_conditional_edges(
        START, lambda state: [Send("ask", {"number": n}) for n in range(3)], ["ask"]
    )
    return builder.compile()


@case()
def a_question_before_a_failure(calls: Calls) -> Any:
    def ask(state: Log) -> dict[str, Any]:
        raise ValueError(interrupt("what?"))

    return graph(ask, edges="> ask").compile()


@case()
def a_question_beside_a_failure(calls: Calls) -> Any:
    def broken(state: Log) -> dict[str, Any]:
        raise ValueError("no")

    return graph(asking(calls, "ask"), broken, edges="> ask, > broken").compile()


@case()
def a_question_of_a_node_with_retries(calls: Calls) -> Any:
    builder = graph()
    builder.add_node(
        "ask", asking(calls, "ask", "one", "two"), retry_policy=RetryPolicy(initial_interval=0.001)
    )
    builder.set_entry_point("ask")
    return builder.compile()


@case()
def a_question_of_an_error_handler(calls: Calls) -> Any:
    def broken(state: Log) -> dict[str, Any]:
        calls.append("broken")
        raise ValueError("no")

    def handle(state: Log) -> dict[str, Any]:
        return {"log": [interrupt("what now?")]}

    builder = graph(step(calls, "after"))
    builder.add_node("broken", broken, error_handler=handle)
    builder.set_entry_point("broken")
    builder.add_edge("broken", "after")
    return builder.compile()


@case()
def a_deferred_node_asks(calls: Calls) -> Any:
    builder = graph(step(calls, "a"), step(calls, "b"), edges="> a b")
    builder.add_node("ask", asking(calls, "ask"), defer=True)
    builder.add_edge("a", "ask")
    return builder.compile()


@case()
def a_subgraph_asks(calls: Calls) -> Any:
    return nested(calls, 1)


@case()
def a_subgraph_three_deep_asks(calls: Calls) -> Any:
    return nested(calls, 3)


@case()
def two_subgraphs_ask_at_once(calls: Calls) -> Any:
    builder = graph(step(calls, "end"))
    for name in ("x", "y"):
        builder.add_node(name, nested(calls, 0, name=f"ask {name}".replace(" ", "_")))
        builder.add_edge(START, name)
    builder.add_edge(["x", "y"], "end")
    return builder.compile()


@case(one_by_one=True)
def two_deep_subgraphs_one_by_one(calls: Calls) -> Any:
    builder = graph(asking(calls, "z"), edges="> z")
    for name in ("x", "y"):
        builder.add_node(name, nested(calls, 1, name=f"ask_{name}"))
        builder.add_edge(START, name)
    return builder.compile()


@case()
def a_subgraph_asks_in_a_loop(calls: Calls) -> Any:
    builder = graph()
    builder.add_node("inner", graph(step(calls, "a"), asking(calls, "ask"), edges="> a ask").compile())
    builder.set_entry_point("inner")
    builder.add_conditional_edges(
        "inner", lambda state: "inner" if len(state["log"]) < 8 else END, ["inner", END]
    )
    return builder.compile()


@case()
def sent_subgraphs_ask(calls: Calls) -> Any:
    builder = graph(step(calls, "end"), edges="")
    builder.add_node("inner", nested(calls, 0))
    builder.add_edge("inner", "end")
    builder.add_conditional_edges(
        START, lambda state: [Send("inner", {"log": [n]}) for n in range(2)], ["inner"]
    )
    return builder.compile()


@case()
def a_called_graph_asks(calls: Calls) -> Any:
    inner = nested(calls, 0)

    def call(state: Log) -> dict[str, Any]:
        calls.append("call")
        return {"log": inner.invoke({"log": ["inner"]})["log"]}

    return graph(step(calls, "a"), call, step(calls, "b"), edges="> a call b").compile()


@case()
def a_called_graph_of_graphs_asks_twice(calls: Calls) -> Any:
    inner = graph(asking(calls, "ask", "one", "two"), edges="> ask").compile()
    middle = graph(step(calls, "m"))
    middle.add_node("inner", inner)
    middle.add_edge(START, "m")
    middle.add_edge("m", "inner")
    compiled = middle.compile()

    async def call(state: Log) -> dict[str, Any]:
        calls.append("call")
        return {"log": [(await compiled.ainvoke({"log": []}))["log"], interrupt("three")]}

    return graph(call, edges="> call").compile()


@case()
def it_stops_before_a_node(calls: Calls) -> Any:
    return chain(calls, "a", "b", "c").compile(interrupt_before=["b"])


@case()
def it_stops_after_a_node(calls: Calls) -> Any:
    return chain(calls, "a", "b", "c").compile(interrupt_after=["a", "b"])


@case()
def it_stops_before_the_first_node(calls: Calls) -> Any:
    return chain(calls, "a", "b").compile(interrupt_before=["a"])


@case()
def it_stops_before_a_node_that_asks(calls: Calls) -> Any:
    return graph(step(calls, "a"), asking(calls, "ask"), edges="> a ask").compile(interrupt_before=["ask"])


@case()
def it_stops_before_one_of_two_branches(calls: Calls) -> Any:
    return graph(*(step(calls, n) for n in "abc"), edges="> a c, > b c").compile(interrupt_before=["b"])


@case()
def it_stops_in_a_loop(calls: Calls) -> Any:
    builder = graph(step(calls, "a"), edges="> a")
    builder.add_conditional_edges("a", lambda state: "a" if len(state["log"]) < 3 else END, ["a", END])
    return builder.compile(interrupt_after=["a"])


@case()
def it_stops_after_every_node(calls: Calls) -> Any:
    return chain(calls, "a", "b").compile(interrupt_after="*")


@case(START_LOG, {"log": ["second run"]})
def a_thread_asks_in_each_run(calls: Calls) -> Any:
    return graph(step(calls, "a"), asking(calls, "ask"), edges="> a ask").compile()


@case()
def a_caught_question_is_asked_all_the_same(calls: Calls) -> Any:
    def ask(state: Log) -> dict[str, Any]:
        try:
            return {"log": [interrupt("what?")]}
        finally:
            calls.append("finally")

    return graph(ask, edges="> ask").compile()


@case()
def an_async_node_asks_after_awaiting(calls: Calls) -> Any:
    async def helper() -> str:
        return interrupt("from a helper")

    async def ask(state: Log) -> dict[str, Any]:
        return {"log": [await helper(), interrupt("from the node")]}

    return graph(ask, edges="> ask").compile()


@case()
def a_graph_without_a_reducer_asks(calls: Calls) -> Any:
    builder = StateGraph(dict)

    def ask(state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "said": interrupt("what?")}

    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return builder.compile()
