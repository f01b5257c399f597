"""Cases by hand: failures, retries, error handlers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from case_table import Calls, Log, case, graph, step
from langgraph.errors import NodeError
from langgraph.graph import END
from langgraph.runtime import Runtime
from langgraph.types import Command, RetryPolicy, Send

_QUICK: dict[str, Any] = {"initial_interval": 0.001, "jitter": False}


class OrderRefused(ValueError):
    """Of the user's own."""


def failing(calls: Calls, error: Exception, name: str = "broken") -> Any:
    def node(state: Any) -> Any:
        calls.append(name)
        raise error

    node.__name__ = name
    return node


def until(calls: Calls, attempt: int, error: type[Exception] = ConnectionError) -> Any:
    """A node that works at that attempt."""

    def flaky(state: Log, runtime: Runtime[Any]) -> dict[str, Any]:
        calls.append("flaky")
        assert runtime.execution_info is not None
        if runtime.execution_info.node_attempt < attempt:
            raise error("not yet")
        return {"log": [f"attempt {runtime.execution_info.node_attempt}"]}

    return flaky


@case()
def a_node_fails(calls: Calls) -> Any:
    return graph(step(calls, "a"), failing(calls, ValueError("no")), edges="> a broken").compile()


@case()
def an_error_of_the_users_own(calls: Calls) -> Any:
    return graph(failing(calls, OrderRefused("no")), edges="> broken").compile()


@case()
def a_key_error(calls: Calls) -> Any:
    return graph(failing(calls, KeyError("missing")), edges="> broken").compile()


@case()
def one_of_two_branches_fails(calls: Calls) -> Any:
    return graph(step(calls, "a"), failing(calls, TypeError("no")), edges="> a, > broken").compile()


@case()
def a_router_fails(calls: Calls) -> Any:
    def lost(state: Log) -> str:
        raise LookupError("which way")

    builder = graph(step(calls, "a"), edges="> a")
    builder.add_conditional_edges("a", lost, [END])
    return builder.compile()


@case()
def a_router_names_no_node(calls: Calls) -> Any:
    builder = graph(step(calls, "a"), edges="> a")
    builder.add_conditional_edges("a", lambda state: "nowhere", {"somewhere": END})
    return builder.compile()


@case()
def a_command_names_no_node(calls: Calls) -> Any:
    def lost(state: Log) -> Command[Any]:
        return Command(update={"log": ["lost"]}, goto="nowhere")

    return graph(lost, edges="> lost").compile()


@case()
def a_send_names_no_node(calls: Calls) -> Any:
    def lost(state: Log) -> Command[Any]:
        return Command(goto=[Send("nowhere", {})])

    return graph(lost, edges="> lost").compile()


@case()
def a_retried_node_works_in_the_end(calls: Calls) -> Any:
    builder = graph(step(calls, "a"), edges="> a")
    builder.add_node("flaky", until(calls, 3), retry_policy=RetryPolicy(**_QUICK, max_attempts=4))
    builder.add_edge("a", "flaky")
    return builder.compile()


@case()
def a_retried_node_fails_in_the_end(calls: Calls) -> Any:
    builder = graph(step(calls, "a"), edges="> a")
    builder.add_node("flaky", until(calls, 9), retry_policy=RetryPolicy(**_QUICK, max_attempts=2))
    builder.add_edge("a", "flaky")
    return builder.compile()


@case()
def the_second_policy_fits(calls: Calls) -> Any:
    policies = [
        RetryPolicy(**_QUICK, max_attempts=2, retry_on=KeyError),
        RetryPolicy(**_QUICK, max_attempts=3, retry_on=(ConnectionError, ValueError)),
    ]
    builder = graph()
    builder.add_node("flaky", until(calls, 3), retry_policy=policies)
    builder.set_entry_point("flaky")
    return builder.compile()


@case()
def a_function_says_what_is_retried(calls: Calls) -> Any:
    policy = RetryPolicy(**_QUICK, max_attempts=3, retry_on=lambda error: "yet" in str(error))
    builder = graph()
    builder.add_node("flaky", until(calls, 2, ValueError), retry_policy=policy)
    builder.set_entry_point("flaky")
    return builder.compile()


@case()
def sent_calls_are_retried_each(calls: Calls) -> Any:
    builder = graph(step(calls, "a"), edges="> a")
    builder.add_node("flaky", until(calls, 2), retry_policy=RetryPolicy(**_QUICK))
    builder.add_conditional_edges("a", lambda state: [Send("flaky", {}) for _ in range(4)], ["flaky"])
    return builder.compile()


@case()
def a_handler_goes_on_with_an_update(calls: Calls) -> Any:
    def handle(state: Log, error: NodeError) -> dict[str, Any]:
        calls.append("handle")
        return {"log": [error.node, type(error.error).__name__, str(error.error), len(state["log"])]}

    builder = graph(step(calls, "a"), edges="> a")
    builder.add_node("broken", failing(calls, ValueError("no")), error_handler=handle)
    builder.add_edge("a", "broken")
    return builder.compile()


@case()
def a_handler_goes_elsewhere(calls: Calls) -> Any:
    def handle(state: Log, error: NodeError) -> Command[Any]:
        return Command(update={"log": ["handled"]}, goto="rescue")

    builder = graph(step(calls, "rescue"), step(calls, "after"))
    builder.add_node("broken", failing(calls, OrderRefused("no", 3)), error_handler=handle)
    builder.set_entry_point("broken")
    builder.add_edge("broken", "after")
    return builder.compile()


@case()
def a_handler_fails_itself(calls: Calls) -> Any:
    def handle(state: Log, error: NodeError) -> dict[str, Any]:
        raise OrderRefused("not even that") from error.error

    builder = graph()
    builder.add_node("broken", failing(calls, ValueError("no")), error_handler=handle)
    builder.set_entry_point("broken")
    return builder.compile()


@case()
def a_handler_after_retries(calls: Calls) -> Any:
    def handle(state: Log) -> dict[str, Any]:
        return {"log": ["handled"]}

    policy = RetryPolicy(**_QUICK, max_attempts=2)
    builder = graph()
    builder.add_node("flaky", until(calls, 9), retry_policy=policy, error_handler=handle)
    builder.set_entry_point("flaky")
    return builder.compile()


@case()
def a_handler_beside_a_branch(calls: Calls) -> Any:
    def handle(state: Log) -> dict[str, Any]:
        return {"log": ["handled"]}

    builder = graph(step(calls, "a"), step(calls, "b"), edges="> a b")
    builder.add_node("broken", failing(calls, ValueError("no")), error_handler=handle)
    builder.add_edge("__start__", "broken")
    builder.add_edge("broken", "b")
    return builder.compile()


@case()
def one_handler_for_all_nodes(calls: Calls) -> Any:
    def handle(state: Log, error: NodeError) -> dict[str, Any]:
        return {"log": [f"{error.node} handled"]}

    builder = graph(failing(calls, ValueError("no"), "x"), failing(calls, KeyError("no"), "y"), edges="> x y")
    builder.set_node_defaults(error_handler=handle)
    return builder.compile()


@case()
def a_handler_for_a_subgraph(calls: Calls) -> Any:
    def handle(state: Log, error: NodeError) -> dict[str, Any]:
        return {"log": [f"{error.node} handled"]}

    inner = graph(step(calls, "a"), failing(calls, ValueError("no")), edges="> a broken").compile()
    builder = graph(step(calls, "after"))
    builder.add_node("inner", inner, error_handler=handle)
    builder.set_entry_point("inner")
    builder.add_edge("inner", "after")
    return builder.compile()


@case()
def a_failure_in_a_subgraph(calls: Calls) -> Any:
    inner = graph(step(calls, "a"), failing(calls, OrderRefused("no")), edges="> a broken").compile()
    builder = graph(step(calls, "before"), edges="> before")
    builder.add_node("inner", inner)
    builder.add_edge("before", "inner")
    return builder.compile()


@case()
def a_node_catches_what_a_graph_raises(calls: Calls) -> Any:
    inner = graph(failing(calls, OrderRefused("no")), edges="> broken").compile()

    def call(state: Log) -> dict[str, Any]:
        try:
            inner.invoke({"log": []})
        except OrderRefused as error:
            return {"log": [f"caught {error}"]}
        return {"log": ["nothing to catch"]}

    return graph(call, edges="> call").compile()


@case()
def a_time_limit_that_is_kept(calls: Calls) -> Any:
    async def quick(state: Log) -> dict[str, Any]:
        return {"log": ["in time"]}

    builder = graph()
    builder.add_node("quick", quick, timeout=timedelta(seconds=60))
    builder.set_entry_point("quick")
    return builder.compile()


@case(limit=4)
def a_subgraph_that_never_ends(calls: Calls) -> Any:
    builder = graph()
    builder.add_node("inner", graph(step(calls, "a"), edges="> a a").compile())
    builder.set_entry_point("inner")
    return builder.compile()
