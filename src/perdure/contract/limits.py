"""The limits of runs: what they may use, how long they and their questions may take; and how often models may be called.

Side: contract. The first are given at the start of a run, or once for all runs of a client; the last to a worker. Both can
be in a project's `langgraph.json`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from perdure.contract.budget import Budget

__all__ = ["FOR_EVER", "RateLimit", "RunLimits", "seconds_of"]

FOR_EVER = timedelta.max
"""As an `approval_timeout`: a question may wait until somebody answers, however long that takes."""

_APPROVAL_TIMEOUT = timedelta(days=30)


@dataclass(frozen=True)
class RunLimits:
    """`None` is not said. See `PerdureClient.start` for what each means; `approval_timeout` is 30 days where nobody says.

    Raises:
        ValueError: for a time that is not above zero, naming it.
    """

    budget: Budget | None = None
    thread_budget: Budget | None = None
    deadline: timedelta | None = None
    approval_timeout: timedelta | None = None

    def __post_init__(self) -> None:
        for name in ("deadline", "approval_timeout"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, timedelta) and value > timedelta(0)):
                raise ValueError(f"{name} must be a timedelta above zero, not {value!r}")

    def overridden(self, by: RunLimits) -> RunLimits:
        """What `by` says, and these where it says nothing."""
        said = {item.name: getattr(by, item.name) for item in fields(self)}
        limits = {name: getattr(self, name) if value is None else value for name, value in said.items()}
        limits["approval_timeout"] = limits["approval_timeout"] or _APPROVAL_TIMEOUT
        return RunLimits(**limits)


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """How often a model may be called, by all workers together.

    Args:
        requests, tokens: at most so many, input and output together,
        per: in so long; whole seconds.

    Raises:
        ValueError: for what could never work, naming the option.
    """

    requests: int | None = None
    tokens: int | None = None
    per: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        if self.requests is None and self.tokens is None:
            raise ValueError("RateLimit() limits nothing: give requests=, tokens= or both")
        for name in ("requests", "tokens"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"RateLimit({name}=...) must be a whole number above zero, not {value!r}")
        if self.per < timedelta(seconds=1) or self.per % timedelta(seconds=1):
            raise ValueError(f"RateLimit(per=...) must be whole seconds, not {self.per!r}")


def seconds_of(limit: timedelta | None) -> float | None:
    """`None` for no limit."""
    return None if limit is None or limit == FOR_EVER else limit.total_seconds()
