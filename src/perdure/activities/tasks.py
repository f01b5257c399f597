"""Nodes that call `@task` functions: they run as a one-node graph of their own inside the attempt.

Side: activities. LangGraph's runner numbers tasks, hands out their futures and remembers what each returned; a node that
needs it gets it, with the attempt's saver underneath. Where a task's function runs: `perdure.activities.task_router`.

Not seen: a task that a node reaches in a roundabout way, out of a list say; LangGraph then has nobody to call it by.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from langchain_core.runnables import Runnable
from langchain_core.runnables.config import run_in_executor
from langgraph.channels import EphemeralValue, LastValue

from perdure._compat import (
    PREVIOUS,
    ChannelWrite,
    ChannelWriteEntry,
    Pregel,
    PregelNode,
    RunnableCallable,
)
from perdure.graph.task_functions import named_tasks

__all__ = ["as_graph", "calls_tasks", "graph_input", "in_own_thread", "needs_tasks"]

_INPUT = "input"
_OUTPUT = "output"


def needs_tasks(graph: Pregel[Any, Any, Any, Any], node: PregelNode) -> bool:
    """Whether a node is an `@entrypoint`, or a function that names a `@task`."""
    if not hasattr(graph, "builder"):
        return True
    bound = node.bound
    if not isinstance(bound, RunnableCallable):
        return False
    return any(named_tasks(function) for function in (bound.func, bound.afunc) if function is not None)


def calls_tasks(graph: Pregel[Any, Any, Any, Any]) -> bool:
    """Whether any node of it needs tasks, or of the graphs in it."""
    return any(
        calls_tasks(node.bound) if isinstance(node.bound, Pregel) else needs_tasks(graph, node)
        for node in graph.nodes.values()
    )


def as_graph(name: str, node: PregelNode, body: Runnable[Any, Any]) -> Pregel[Any, Any, Any, Any]:
    """A graph of one node alone: takes `graph_input(...)`, gives what the body returns."""
    writer = ChannelWrite([ChannelWriteEntry(_OUTPUT)])
    alone = PregelNode(
        channels=_INPUT,
        triggers=[_INPUT],
        bound=body,
        writers=[writer],
        metadata=node.metadata,
        timeout=node.timeout,
    )
    return Pregel(
        nodes={name: alone},
        channels={_INPUT: EphemeralValue(Any), _OUTPUT: LastValue(Any), PREVIOUS: LastValue(Any)},
        input_channels=[_INPUT, PREVIOUS],
        output_channels=_OUTPUT,
    )


def graph_input(value: Any, previous: Any) -> dict[str, Any]:
    return {_INPUT: value, PREVIOUS: previous}


def in_own_thread(bound: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The same body; a sync one in a thread of its own. It waits there for its tasks: in the threads that all share,
    enough of those waiting would leave none for the tasks."""
    if not isinstance(bound, RunnableCallable) or bound.func is None or not _uses_shared_threads(bound.afunc):
        return bound
    twin = copy.copy(bound)
    twin.afunc = partial(_call_in_thread, bound.func)
    return twin


def _uses_shared_threads(function: Any) -> bool:
    return isinstance(function, partial) and function.func is run_in_executor


async def _call_in_thread(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    executor = ThreadPoolExecutor(1, thread_name_prefix="perdure-tasks")
    try:
        return await run_in_executor(executor, copy_context().run, func, *args, **kwargs)
    finally:
        executor.shutdown(wait=False)
