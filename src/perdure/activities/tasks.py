"""Nodes that call `@task` functions: they run as a one-node graph of their own inside the attempt.

Side: activities. LangGraph's runner is what carries out tasks: it numbers them, runs them in parallel, retries them and
remembers what each returned. A node that needs it gets it, with the attempt's saver underneath; where such a node stops at
an interrupt, or its process dies, the tasks that had finished are not run again.

Guaranteed after an interrupt: finished tasks are kept. After a crash or a failed attempt: those that a heartbeat has told
of (about one a second). Not guaranteed: an activity of its own per task.
"""

from __future__ import annotations

import inspect
from typing import Any

from langgraph.channels import EphemeralValue, LastValue

from perdure._compat import (
    PREVIOUS,
    ChannelWrite,
    ChannelWriteEntry,
    Pregel,
    PregelNode,
    RunnableCallable,
    TaskFunction,
)

__all__ = ["as_graph", "graph_input", "needs_tasks"]

_INPUT = "input"
_OUTPUT = "output"


def needs_tasks(graph: Pregel[Any, Any, Any, Any], node: PregelNode) -> bool:
    """Whether a node is an `@entrypoint`, or a function that names a `@task`."""
    if not hasattr(graph, "builder"):
        return True
    bound = node.bound
    if not isinstance(bound, RunnableCallable):
        return False
    return any(_names_a_task(function) for function in (bound.func, bound.afunc) if function is not None)


def _names_a_task(function: Any) -> bool:
    function = inspect.unwrap(getattr(function, "func", function))
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    seen = [function.__globals__.get(name) for name in code.co_names]
    seen += [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return any(isinstance(value, TaskFunction) for value in seen)


def _is_filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def as_graph(name: str, node: PregelNode) -> Pregel[Any, Any, Any, Any]:
    """A graph of this node's body alone: takes `graph_input(...)`, gives what the body returns."""
    writer = ChannelWrite([ChannelWriteEntry(_OUTPUT)])
    alone = PregelNode(
        channels=_INPUT, triggers=[_INPUT], bound=node.bound, writers=[writer], metadata=node.metadata
    )
    return Pregel(
        nodes={name: alone},
        channels={_INPUT: EphemeralValue(Any), _OUTPUT: LastValue(Any), PREVIOUS: LastValue(Any)},
        input_channels=[_INPUT, PREVIOUS],
        output_channels=_OUTPUT,
    )


def graph_input(value: Any, previous: Any) -> dict[str, Any]:
    return {_INPUT: value, PREVIOUS: previous}
