"""From the failure of an activity to what it says of its node; from an exception in a run to the typed failure that ends it.

Side: workflow. Temporal fails a workflow only for its own failure types; any other exception would hold the workflow
task, retried for ever and seen by nobody.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from langgraph.errors import GraphRecursionError
from temporalio import exceptions
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from perdure.contract.usage import Usage, usage_from
from perdure.errors import BudgetExhausted, NodeFailed, PerdureError

__all__ = ["as_failure", "failed_usage", "node_failed"]

_REMEDY = {
    GraphRecursionError: "raise `recursion_limit` in the run's config, or check the graph for a cycle without an exit",
}


def as_failure(error: Exception, more: dict[str, Any] | None = None) -> FailureError:
    """The Temporal failure for `error`: its type by name, `node`, `cause_type` and `more` in the details."""
    if isinstance(error.__cause__, NodeFailed):
        error = error.__cause__
    if isinstance(error, FailureError):
        return error
    details: dict[str, Any] = {"node": None, "cause_type": type(error).__name__, "cause": str(error)}
    message = str(error)
    if isinstance(error, NodeFailed):
        details = {
            "node": error.node,
            "cause_type": error.cause_type,
            "cause": error.cause,
            "attempts": error.attempts,
            **{name: said for name in ("kind", "output") if (said := getattr(error, name))},
        }
    elif isinstance(error, BudgetExhausted):
        details |= error.facts
    elif not isinstance(error, PerdureError):
        message = f"{type(error).__name__}: {error}"
    for kind, remedy in _REMEDY.items():
        if isinstance(error, kind):
            message = f"{message} ({remedy})"
    details |= more or {}
    return ApplicationError(message, details, type=type(error).__name__, non_retryable=True)


def node_failed(path: str, error: ActivityError, *, timeout: timedelta, heartbeat: timedelta) -> NodeFailed:
    """What the failed activity of a node, or of a task, says. `timeout` and `heartbeat` are the limits it had."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        details: dict[str, Any] = (
            cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
        )
        return NodeFailed(
            node=path,
            cause_type=cause.type or "Exception",
            cause=cause.message,
            attempts=int(details.get("attempts", 0)),
            original=_raisable(details.get("error")),
            kind=str(details.get("kind", "")),
            output=str(details.get("output", "")),
        )
    if isinstance(cause, exceptions.TimeoutError):
        kind = cause.type.name.lower() if cause.type else "time"
        limit = heartbeat if kind == "heartbeat" else timeout
        text = f"no answer within its {kind} limit of {limit}"
        return NodeFailed(node=path, cause_type="TimeoutError", cause=text, attempts=0, kind="timeout")
    return NodeFailed(node=path, cause_type=type(cause).__name__, cause=str(cause or error), attempts=0)


def failed_usage(error: ActivityError) -> Usage:
    """What the attempts of the failed activity had used, as far as they could tell."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        details: Any = cause.details[0] if cause.details else None
        return usage_from(details.get("usage")) if isinstance(details, dict) else Usage()
    if isinstance(cause, exceptions.TimeoutError) and len(cause.last_heartbeat_details) > 1:
        left = cause.last_heartbeat_details[1]
        return usage_from(left.get("usage")) if isinstance(left, dict) else Usage()
    return Usage()


def _raisable(error: Any) -> Exception | None:
    # A coroutine cannot raise the two that end an iteration.
    if not isinstance(error, Exception) or isinstance(error, (StopIteration, StopAsyncIteration)):
        return None
    return error
