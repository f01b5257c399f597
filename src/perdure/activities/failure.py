"""From a node's exception to the `ApplicationError` that Temporal sees: one line, a type, and when to try again.

Side: activities. Which error may be retried: `perdure.activities.failures` (the table); here its verdict is weighed
against what the user declared.

| declared on the node              | retried                                                                          |
|-----------------------------------|----------------------------------------------------------------------------------|
| nothing                           | what the table says; an answer that cannot be used at most `MOST_MALFORMED` times |
| LangGraph `RetryPolicy`           | what `retry_on` of the first matching policy says, as often as it says           |
| `durable(retry=...)`              | everything not in `non_retryable_error_types`, but for what can never help: a refused request (4xx), and mistakes in the code (`TypeError`, `NameError`, `ImportError`, ...) |
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from langgraph.types import RetryPolicy as GraphRetryPolicy
from temporalio import activity
from temporalio.exceptions import ApplicationError

from perdure._compat import Pregel, PregelNode
from perdure.activities.failure_text import names_a_key
from perdure.activities.failures import classify, describe
from perdure.contract.node import NodeCall
from perdure.contract.verdict import Classify, Verdict
from perdure.errors import ModelOutputError, PerdureError, RemoteError
from perdure.graph.policy import graph_retry_policies

__all__ = ["MOST_MALFORMED", "judge", "node_failure", "undo_failure"]

_log = logging.getLogger(__name__)

MOST_MALFORMED = 3
"""How many answers that cannot be used one node call may get; they count among its attempts, too."""

_JITTER = 0.2
_MOST_OUTPUT_CHARS = 2_000
_HERDS = frozenset({"rate_limited", "overloaded"})

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
    own: Classify | None = None,
    failures: Sequence[str] = (),
    used: dict[str, Any] | None = None,
    attempt: int | None = None,
) -> ApplicationError:
    """The failure of one attempt, which `used` so much. `graph` and `node` are `None` when the attempt failed before they were
    found; `settled` says that the error is a task's whose own retries are used up: only a declared policy makes the node try
    again. `own` is the project's part of the table, `failures` the kinds of this call's failed attempts, this one's among
    them, and `attempt` which one it is, where that is not as Temporal counts."""
    attempt = activity.info().attempt if attempt is None else attempt
    verdict = judge(error, own)
    decision = _decide(
        error, verdict, call, graph=graph, node=node, settled=settled, failures=failures, attempt=attempt
    )
    used_up = 0 < call.attempts <= attempt
    text = describe(error)
    name = type(error).__name__
    details: dict[str, Any] = {
        "node": "/".join(call.path),
        "kind": verdict.kind,
        "attempts": attempt,
        "failures": list(failures),
        "error": _portable(error),
    }
    if output := _output(error):
        details["output"] = output
    if used:
        details["usage"] = used
    return ApplicationError(
        text.removeprefix(f"{name}: "),
        details,
        type=name,
        non_retryable=used_up or not decision.retry,
        next_retry_delay=decision.after,
    )


def judge(error: BaseException, own: Classify | None) -> Verdict:
    """What the project's own part of the table says of an error, or else the table."""
    if own is not None:
        try:
            verdict = own(error)
        except Exception:  # noqa: BLE001 - a mistake in there must not hide the error that it was asked about
            _log.exception("classify= failed on %s; the table decides", type(error).__name__)
        else:
            if verdict is not None:
                return verdict
    return classify(error)


def _output(error: BaseException) -> str:
    """What a model said, where an error keeps it."""
    said = error.output if isinstance(error, ModelOutputError) else getattr(error, "llm_output", None)
    if said is None and isinstance(error, ValueError):
        said = getattr(error, "doc", None)  # json's
    return said[:_MOST_OUTPUT_CHARS] if isinstance(said, str) else ""


def undo_failure(error: Exception, name: str, own: Classify | None = None) -> ApplicationError:
    """The failure of one attempt of an undo. What could help again is tried again."""
    verdict = judge(error, own)
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
    failures: Sequence[str],
    attempt: int,
) -> _Decision:
    enough = verdict.kind == "malformed_output" and failures.count(verdict.kind) >= MOST_MALFORMED
    if isinstance(error, PerdureError):
        return _Decision(type(error).retryable and not enough)
    if isinstance(error, ApplicationError):
        return _Decision(not error.non_retryable, error.next_retry_delay)
    if call.explicit_retry:
        refused = verdict.status is not None and not verdict.retry
        return _Decision(not refused and not isinstance(error, _MISTAKES), _floor(verdict))
    policies = graph_retry_policies(node, graph) if node is not None and graph is not None else ()
    if policies:
        return _by_graph_policy(error, policies, attempt)
    if settled:
        return _Decision(False)
    return _Decision(verdict.retry and not enough, _floor(verdict))


def _floor(verdict: Verdict) -> timedelta | None:
    """`Retry-After` as a floor under the policy's own backoff. Who was sent away with others does not come back with
    them: such waits are up to a fifth longer, by chance."""
    if not verdict.retry or (verdict.after is None and verdict.kind not in _HERDS):
        return None
    return max(verdict.after or timedelta(), _backoff()) * random.uniform(1, 1 + _JITTER)


def _backoff() -> timedelta:
    policy = activity.info().retry_policy
    if policy is None:
        return timedelta()
    backoff = policy.initial_interval * policy.backoff_coefficient ** (activity.info().attempt - 1)
    if policy.maximum_interval is not None:
        backoff = min(backoff, policy.maximum_interval)
    return backoff


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
    """The exception for an error handler node, where its class and arguments can cross and hold no key; else its name and
    text."""
    if names_a_key(error):
        return RemoteError(type(error).__name__, describe(error))
    try:
        activity.payload_converter().to_payload(error)
    except Exception:  # noqa: BLE001 - a user's exception may hold anything; its text is then all that crosses
        return RemoteError(type(error).__name__, describe(error))
    return error
