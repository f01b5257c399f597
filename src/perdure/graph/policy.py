"""From what a node declares to the policy its activity is scheduled with.

Side: workflow. Order: `durable(...)` on the node ▸ LangGraph's own `RetryPolicy` and `TimeoutPolicy` on the node or the
graph ▸ the node's kind (model, tool) ▸ Perdure's default. Pure: the same graph gives the same policies in every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import RunnableBinding, RunnableSequence
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy as GraphRetryPolicy
from temporalio.common import RetryPolicy

from perdure._compat import Pregel, PregelNode, RunnableCallable
from perdure.contract.policy import (
    DEFAULT_RETRY,
    LLM_RETRY,
    METADATA_KEY,
    TOOL_RETRY,
    DurableOptions,
    NodePolicy,
)

__all__ = ["graph_retry_policies", "node_kind", "resolve_policy", "temporal_retry"]

_SLACK = timedelta(seconds=5)
# An entrypoint mostly waits for its tasks, which have limits of their own.
_ENTRYPOINT_TIMEOUT = timedelta(days=1)
# LangChain's `create_agent` builds its model node from a closure of this name.
_MODEL_FUNCTIONS = frozenset({"model_node", "amodel_node", "call_model", "acall_model"})


def node_kind(bound: Any) -> str:
    """What a node's body mainly is: "llm", "tool" or "other"."""
    if isinstance(bound, RunnableBinding):
        return node_kind(bound.bound)
    if isinstance(bound, (ToolNode, BaseTool)):
        return "tool"
    if isinstance(bound, BaseLanguageModel):
        return "llm"
    if isinstance(bound, RunnableSequence):
        kinds = {node_kind(step) for step in bound.steps}
        return next((kind for kind in ("llm", "tool") if kind in kinds), "other")
    if isinstance(bound, RunnableCallable):
        functions = (bound.func, bound.afunc)
        if any(getattr(f, "__name__", "") in _MODEL_FUNCTIONS for f in functions):
            return "llm"
    return "other"


def graph_retry_policies(node: PregelNode, graph: Pregel[Any, Any, Any, Any]) -> Sequence[GraphRetryPolicy]:
    """LangGraph's own retry policies for a node: the node's, else the graph's."""
    return tuple(node.retry_policy or graph.retry_policy or ())


def temporal_retry(policies: Sequence[GraphRetryPolicy]) -> RetryPolicy:
    """What Temporal is told of LangGraph's policies; at least one."""
    # Temporal knows one policy per activity; which of several applies is decided where the exception is (the activity),
    # so this one allows for the most attempts and the activity says when to stop.
    first = policies[0]
    return RetryPolicy(
        initial_interval=timedelta(seconds=first.initial_interval),
        backoff_coefficient=max(1.0, first.backoff_factor),
        maximum_interval=timedelta(seconds=max(first.max_interval, first.initial_interval)),
        maximum_attempts=max(1, *(p.max_attempts for p in policies)),
    )


def _run_timeout(node: PregelNode) -> timedelta | None:
    limit = node.timeout.run_timeout if node.timeout is not None else None
    if limit is None:
        return None
    return limit if isinstance(limit, timedelta) else timedelta(seconds=limit)


def resolve_policy(
    node: PregelNode, graph: Pregel[Any, Any, Any, Any], *, heartbeat: timedelta | None = None
) -> NodePolicy:
    """The policy that calls of `node` are scheduled with. `heartbeat` is the limit of nodes that declare none."""
    kind_retry = {"llm": LLM_RETRY, "tool": TOOL_RETRY}.get(node_kind(node.bound), DEFAULT_RETRY)
    policy = NodePolicy(retry=kind_retry)
    if heartbeat is not None:
        policy = replace(policy, heartbeat=heartbeat)
    if policies := graph_retry_policies(node, graph):
        policy = replace(policy, retry=temporal_retry(policies))
    if not hasattr(graph, "builder"):
        policy = replace(policy, timeout=_ENTRYPOINT_TIMEOUT)
    if (limit := _run_timeout(node)) is not None:
        # The attempt itself keeps the limit, and says which one it was; this is for one that cannot.
        policy = replace(policy, timeout=limit + _SLACK)
    options = (node.metadata or {}).get(METADATA_KEY)
    if not isinstance(options, DurableOptions):
        return policy
    declared = {
        name: value
        for name in ("retry", "timeout", "heartbeat", "run_in", "task_queue", "summary")
        if (value := getattr(options, name)) is not None
    }
    if options.timeout is not None:
        declared["task_timeout"] = options.timeout
    return replace(policy, **declared, explicit_retry=options.retry is not None)
