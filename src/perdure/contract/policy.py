"""How a node's activity is run: retries, time limits, place.

Side: contract. Owns the declaration that users put on a node (`durable`), the presets, and the resolved policy that a
workflow schedules with. Resolution itself lives in `perdure.graph.policy`.

Every activity that Perdure schedules has an explicit, finite retry policy and an explicit start-to-close timeout.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal

from temporalio.common import RetryPolicy

__all__ = [
    "DEFAULT_RETRY",
    "HEARTBEAT",
    "LLM_RETRY",
    "TASK_TIMEOUT",
    "TOOL_RETRY",
    "UNDO_RETRY",
    "DurableOptions",
    "ModelOutput",
    "NodePolicy",
    "durable",
    "with_handovers",
]

METADATA_KEY = "perdure"

LLM_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=6,
)
"""For model calls: 1 s, doubling, at most 30 s apart, 6 attempts."""

TOOL_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=2),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=60),
    maximum_attempts=4,
)
"""For tools: 2 s, doubling, at most 60 s apart, 4 attempts."""

DEFAULT_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=4,
)
"""For a node that says nothing: 1 s, doubling, at most 30 s apart, 4 attempts."""

UNDO_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=5),
    maximum_attempts=12,
)
"""For compensations: 1 s, doubling, at most 5 minutes apart, 12 attempts (some 25 minutes)."""

HEARTBEAT = timedelta(seconds=5)
"""A worker that says nothing of an attempt for so long is taken for dead."""

TASK_TIMEOUT = timedelta(seconds=5)
"""A workflow task that takes longer is taken for lost, and made again. A worker that dies holds one for this long; Temporal's default
is 10 s."""

HANDOVERS = 5
"""How often a node call may be handed over by workers that stop, beyond its attempts."""

RunIn = Literal["activity", "workflow"]
ModelOutput = Literal["any", "complete"]


@dataclass(frozen=True)
class DurableOptions:
    """What `durable(...)` declared; `None` means: not said here."""

    retry: RetryPolicy | None = None
    timeout: timedelta | None = None
    heartbeat: timedelta | None = None
    run_in: RunIn | None = None
    task_queue: str | None = None
    summary: str | None = None
    model_output: ModelOutput | None = None


@dataclass(frozen=True)
class NodePolicy:
    """The resolved policy of one node. `explicit_retry` tells that the user, not a default, chose the retries.

    `timeout` is for one attempt of the node, `task_timeout` for one attempt of a `@task` that it calls."""

    retry: RetryPolicy = field(default_factory=lambda: DEFAULT_RETRY)
    timeout: timedelta = timedelta(minutes=10)
    task_timeout: timedelta = timedelta(minutes=10)
    heartbeat: timedelta = HEARTBEAT
    run_in: RunIn = "activity"
    task_queue: str | None = None
    summary: str | None = None
    explicit_retry: bool = False


def with_handovers(retry: RetryPolicy) -> RetryPolicy:
    """What Temporal is told: attempts that a stopping worker hands over do not count among those declared. Who declared
    a single attempt gets no other."""
    if retry.maximum_attempts < 2:
        return retry
    return replace(retry, maximum_attempts=retry.maximum_attempts + HANDOVERS)


def durable(
    *,
    retry: RetryPolicy | None = None,
    timeout: timedelta | None = None,
    heartbeat: timedelta | None = None,
    run_in: RunIn | None = None,
    task_queue: str | None = None,
    summary: str | None = None,
    model_output: ModelOutput | None = None,
) -> dict[str, Any]:
    """Declare how Perdure runs a node; goes into the node's metadata and changes nothing outside Perdure.

        builder.add_node("charge", charge, metadata=durable(retry=TOOL_RETRY, timeout=timedelta(minutes=2)))

    Args:
        retry: Temporal's retry policy for the node's activity. It must be finite: `maximum_attempts` of 1 or more.
        timeout: limit for one attempt (start-to-close).
        heartbeat: a worker that is silent for this long is taken for dead and the attempt runs elsewhere.
        run_in: "activity" (the default; its result is recorded) or "workflow" (runs again at every replay: only for
            cheap, deterministic functions without side effects).
        task_queue: run the node on workers that poll this queue.
        summary: one line that the Temporal UI shows for the step.
        model_output: "any" (the default) hands on whatever a model says, as LangGraph does; "complete" raises a
            `ModelOutputError` from a model call whose answer is empty, cut off or refused.

    Raises:
        ValueError: for a value that could never work, naming the option.
    """
    if retry is not None and retry.maximum_attempts < 1:
        raise ValueError(
            "durable(retry=...) must be finite: set RetryPolicy(maximum_attempts=...) to 1 or more"
        )
    for name, value in (("timeout", timeout), ("heartbeat", heartbeat)):
        if value is not None and value <= timedelta(0):
            raise ValueError(f"durable({name}=...) must be a positive timedelta, not {value!r}")
    if run_in not in (None, "activity", "workflow"):
        raise ValueError(f"durable(run_in=...) must be 'activity' or 'workflow', not {run_in!r}")
    if model_output not in (None, "any", "complete"):
        raise ValueError(f"durable(model_output=...) must be 'any' or 'complete', not {model_output!r}")
    options = DurableOptions(
        retry=retry,
        timeout=timeout,
        heartbeat=heartbeat,
        run_in=run_in,
        task_queue=task_queue,
        summary=summary,
        model_output=model_output,
    )
    return {METADATA_KEY: options}
