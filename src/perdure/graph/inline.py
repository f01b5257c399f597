"""Running a compiled graph inside a workflow: inline sync functions, deterministic ids, no tracing.

Side: workflow. Used by the thread workflow and, as `perdure.run_graph`, by users' own `@workflow.defn` classes.

Temporal's workflow event loop has no threads, so it refuses `run_in_executor`; LangChain sends every sync function
there. Within a graph run the function is simply called: workflow code must not block anyhow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from langchain_core.runnables import RunnableConfig
from langsmith.run_helpers import tracing_context
from temporalio import workflow

from perdure import _compat
from perdure.graph.ids import WorkflowIds

__all__ = ["graph_scope", "run_graph"]


def _call_inline(executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
    loop = asyncio.get_running_loop()
    if _compat.graph_ids.get() is None:
        return type(loop).run_in_executor(loop, executor, func, *args)  # Temporal's own refusal
    future: asyncio.Future[Any] = loop.create_future()
    try:
        future.set_result(func(*args))
    except Exception as error:  # noqa: BLE001 - it belongs to the future's reader
        future.set_exception(error)
    return future


@contextmanager
def graph_scope(ids: WorkflowIds | None = None) -> Generator[None]:
    """Within this scope, LangGraph is deterministic and sync functions run inline.

    Args:
        ids: where ids come from; the same for all that writes checkpoints of one thread.

    Raises:
        RuntimeError: outside a workflow.
    """
    if not workflow.in_workflow():
        raise RuntimeError(
            "run_graph() is for workflow code; outside a workflow call `await graph.ainvoke(...)`"
        )
    _compat.install()
    # On this workflow's loop alone, and left there: several graphs may run in one workflow at the same time.
    loop = asyncio.get_running_loop()
    loop.__dict__["run_in_executor"] = _call_inline
    # What subgraphs stream comes this way. Workflow code has one thread, so there is nothing to be safe from.
    loop.__dict__["call_soon_threadsafe"] = loop.call_soon
    token = _compat.graph_ids.set(ids or WorkflowIds())
    try:
        # LangSmith would read the environment and start processes.
        with tracing_context(enabled=False):
            yield
    finally:
        # A workflow that was dropped half-way is closed wherever its garbage is collected, which may be in another
        # workflow's turn and context: an error here would be taken for the run's own, and its undos run over there.
        with suppress(ValueError):
            _compat.graph_ids.reset(token)


async def run_graph(
    graph: Any,
    input: Any,
    *,
    config: RunnableConfig | None = None,
    context: Any = None,
) -> dict[str, Any]:
    """Run a compiled graph inside your own `@workflow.defn`; its nodes may call activities, timers and child workflows.

        result = await run_graph(builder.compile(), {"question": question})

    Sync and async nodes, routers, reducers and subgraphs work; a sync node is called inline, so it must not block.

    Args:
        graph: a compiled `StateGraph` (or any LangGraph `Pregel`), built in or outside the workflow.
        input: as for `graph.ainvoke`.
        config: as for `graph.ainvoke`; callbacks in it run at every replay too.
        context: as for `graph.ainvoke`.

    Returns:
        What `await graph.ainvoke(input)` returns: the graph's output values.

    Raises:
        RuntimeError: outside a workflow.
        Exception: whatever the graph raises; an activity's failure arrives as Temporal's `ActivityError`.
    """
    with graph_scope():
        return await graph.ainvoke(input, config, context=context)
