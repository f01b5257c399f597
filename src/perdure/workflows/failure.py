"""From an exception in a run to the typed failure that ends it.

Side: workflow. Temporal fails a workflow only for its own failure types; any other exception would hold the workflow
task, retried for ever and seen by nobody.
"""

from __future__ import annotations

from typing import Any

from langgraph.errors import GraphRecursionError
from temporalio.exceptions import ApplicationError, FailureError

from perdure.errors import NodeFailed, PerdureError

__all__ = ["as_failure"]

_REMEDY = {
    GraphRecursionError: "raise `recursion_limit` in the run's config, or check the graph for a cycle without an exit",
}


def as_failure(error: Exception) -> FailureError:
    """The Temporal failure for `error`: its type by name, `node` and `cause_type` in the details."""
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
        }
    elif not isinstance(error, PerdureError):
        message = f"{type(error).__name__}: {error}"
    for kind, remedy in _REMEDY.items():
        if isinstance(error, kind):
            message = f"{message} ({remedy})"
    return ApplicationError(message, details, type=type(error).__name__, non_retryable=True)
