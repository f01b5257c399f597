"""From a node's exception to the `ApplicationError` that Temporal sees: one line, a type, and when to try again.

Side: activities. Which error may be retried: `perdure.activities.failures` (the table); here its verdict is weighed
against what the user declared.

| declared on the node              | retried                                                                          |
|-----------------------------------|----------------------------------------------------------------------------------|
| nothing                           | what the table says                                                              |
| LangGraph `RetryPolicy`           | what `retry_on` of the first matching policy says, as often as it says           |
| `durable(retry=...)`              | everything not in `non_retryable_error_types`, but for what can never help: a refused request (4xx), and mistakes in the code (`TypeError`, `NameError`, `ImportError`, ...) |
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from langgraph.types import RetryPolicy as GraphRetryPolicy
from temporalio import activity
from temporalio.exceptions import ApplicationError

from perdure._compat import Pregel, PregelNode
from perdure.activities.failures import Verdict, classify, describe
from perdure.contract.node import NodeCall
from perdure.errors import PerdureError, RemoteError
from perdure.graph.policy import graph_retry_policies

__all__ = ["node_failure"]

_MISTAKES = (
    TypeError,
    AttributeError,
    NameError,
    ImportError,
    SyntaxError,
    NotImplementedError,
    AssertionError,
    RecursionError,
)


@dataclass(frozen=True)
class _Decision:
    retry: bool
    after: timedelta | None = None


def node_failure(
    error: Exception,
    call: NodeCall,
    *,
    graph: Pregel[Any, Any, Any, Any] | None,
    node: PregelNode | None,
    settled: bool = False,
    used: dict[str, Any] | None = None,
) -> ApplicationError:
    """The failure of one attempt, which `used` so much. `graph` and `node` are `None` when the attempt failed before they were found; `settled`
    says that the error is a task's whose own retries are used up: only a declared policy makes the node try again."""
    verdict = classify(error)
    decision = _decide(error, verdict, call, graph=graph, node=node, settled=settled)
    text = describe(error)
    name = type(error).__name__
    attempt = activity.info().attempt
    return ApplicationError(
        text.removeprefix(f"{name}: "),
        {
            "node": "/".join(call.path),
            "kind": verdict.kind,
            "attempts": attempt,
            "error": _portable(error),
            **({"usage": used} if used else {}),
        },
        type=name,
        non_retryable=not decision.retry,
        next_retry_delay=decision.after,
    )


def undo_failure(error: Exception, name: str) -> ApplicationError:
    """The failure of one attempt of an undo. What could help again is tried again."""
    verdict = classify(error)
    retry = type(error).retryable if isinstance(error, PerdureError) else verdict.retry
    kind = type(error).__name__
    return ApplicationError(
        f"{kind}: {describe(error).removeprefix(f'{kind}: ')}",
        {"effect": name, "kind": verdict.kind, "attempts": activity.info().attempt},
        type=kind,
        non_retryable=not retry,
        next_retry_delay=_floor(verdict),
    )


def _decide(
    error: Exception,
    verdict: Verdict,
    call: NodeCall,
    *,
    graph: Pregel[Any, Any, Any, Any] | None,
    node: PregelNode | None,
    settled: bool,
) -> _Decision:
    if isinstance(error, PerdureError):
        return _Decision(type(error).retryable)
    if isinstance(error, ApplicationError):
        return _Decision(not error.non_retryable, error.next_retry_delay)
    attempt = activity.info().attempt
    if call.explicit_retry:
        refused = verdict.status is not None and not verdict.retry
        return _Decision(not refused and not isinstance(error, _MISTAKES), _floor(verdict))
    policies = graph_retry_policies(node, graph) if node is not None and graph is not None else ()
    if policies:
        return _by_graph_policy(error, policies, attempt)
    if settled:
        return _Decision(False)
    return _Decision(verdict.retry, _floor(verdict))


def _floor(verdict: Verdict) -> timedelta | None:
    """`Retry-After` as a floor under the policy's own backoff."""
    if not verdict.retry or verdict.after is None:
        return None
    policy = activity.info().retry_policy
    if policy is None:
        return verdict.after
    backoff = policy.initial_interval * policy.backoff_coefficient ** (activity.info().attempt - 1)
    if policy.maximum_interval is not None:
        backoff = min(backoff, policy.maximum_interval)
    return max(verdict.after, backoff)


def _by_graph_policy(error: Exception, policies: Sequence[GraphRetryPolicy], attempt: int) -> _Decision:
    for policy in policies:
        if not _applies(policy, error):
            continue
        if attempt >= policy.max_attempts:
            return _Decision(False)
        seconds = min(policy.max_interval, policy.initial_interval * policy.backoff_factor ** (attempt - 1))
        return _Decision(True, timedelta(seconds=seconds + (random.uniform(0, 1) if policy.jitter else 0)))
    return _Decision(False)


def _applies(policy: GraphRetryPolicy, error: Exception) -> bool:
    rule = policy.retry_on
    if isinstance(rule, type):
        return isinstance(error, rule)
    if isinstance(rule, Sequence):
        return isinstance(error, tuple(rule))
    return bool(rule(error))


def _portable(error: Exception) -> BaseException:
    """The exception for an error handler node, where its class and arguments can cross; else its name and text."""
    try:
        activity.payload_converter().to_payload(error)
    except Exception:  # noqa: BLE001 - a user's exception may hold anything; its text is then all that crosses
        return RemoteError(type(error).__name__, describe(error))
    return error
