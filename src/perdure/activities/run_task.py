"""The activity that runs one attempt of one `@task` call, as if it still ran in the node that calls it.

Side: activities. The task is a node of its own as far as retries, limits, interrupts, failures and results go.
"""

from __future__ import annotations

from typing import Any

from langgraph.types import CachePolicy
from temporalio import activity
from temporalio.common import RawValue

from perdure._compat import Pregel, PregelNode
from perdure.activities.run_node import Body, NodeActivities
from perdure.contract import names
from perdure.contract.node import NodeCall, NodeInput
from perdure.contract.task import INTERRUPTED, TaskCall
from perdure.graph.mirror import find_node
from perdure.graph.task_functions import find_task, named_tasks, task_body

__all__ = ["TaskActivities"]


class TaskActivities:
    """One per worker."""

    def __init__(self, nodes: NodeActivities) -> None:
        self._nodes = nodes

    @activity.defn(name=names.RUN_TASK)
    async def run_task(self, call: TaskCall) -> RawValue:
        outcome, payload = await self._nodes.run(call, _task_body)
        if outcome.get("interrupts"):
            payload.metadata[INTERRUPTED] = b"true"
        return RawValue(payload)


def _task_body(root: Pregel[Any, Any, Any, Any], call: NodeCall) -> Body:
    assert isinstance(call, TaskCall)
    graph, node = find_node(root, call.path[:-1])
    task = find_task(call.task)
    alone = PregelNode(
        channels=[],
        triggers=[],
        bound=task_body(task.func),
        metadata=node.metadata,
        retry_policy=task.retry_policy or None,
        timeout=task.timeout,
        cache_policy=_on_input(task.cache_policy or graph.cache_policy),
    )
    # LangGraph keeps a task's time limits in its own runner.
    needs_graph = task.timeout is not None or bool(named_tasks(task.func))
    return Body(graph, alone, _arguments, needs_graph=needs_graph)


def _on_input(policy: CachePolicy[Any] | None) -> CachePolicy[Any] | None:
    """A node's key is made of its one input, a task's of its arguments."""
    if policy is None:
        return None
    key = policy.key_func
    return CachePolicy(key_func=lambda given: key(*given[0], **given[1]), ttl=policy.ttl)


def _arguments(given: NodeInput) -> Any:
    return tuple(given.value["args"]), given.value["kwargs"]
