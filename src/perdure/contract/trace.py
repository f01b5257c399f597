"""Traces, as they cross processes: in W3C's text form, with ids that are derived and never drawn.

Side: contract. The workflow knows nothing of OpenTelemetry: it names its spans, and tells of each when it is over. The same
span has the same id at every replay, so whoever gets it twice can tell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "EXTERN_SAMPLED",
    "EXTERN_SPAN",
    "EndedSpan",
    "Scalar",
    "TraceContext",
    "derived",
    "is_sampled",
    "traceparent",
]

EXTERN_SPAN = "perdure.span"
EXTERN_SAMPLED = "perdure.sampled"

Scalar = str | int | float | bool


@dataclass(frozen=True)
class TraceContext:
    """The trace that a run belongs to. `parent` is the W3C `traceparent` of what its spans hang under, `state` the
    `tracestate` that goes with it, `previous` the `traceparent` of the run's span before it continued as new."""

    parent: str
    state: str = ""
    previous: str = ""


@dataclass(frozen=True)
class EndedSpan:
    """A span of a workflow that is over. `context` is its own `traceparent`, `parent` that of its parent ("" for a root),
    `link` that of the span which it goes on with, and `linked` how. Times are ns since the epoch, in workflow time."""

    name: str
    context: str
    parent: str
    started: int
    ended: int
    attributes: Mapping[str, Scalar | list[str]] = field(default_factory=dict[str, Scalar | list[str]])
    error: str | None = None
    link: str = ""
    state: str = ""
    linked: str = ""


def derived(length: int, *of: str) -> str:
    """An id in hex: 32 digits for a trace, 16 for a span."""
    return hashlib.sha256("\n".join(of).encode()).hexdigest()[:length]


def traceparent(trace: str, span: str, flags: str) -> str:
    return f"00-{trace}-{span}-{flags}"


def is_sampled(parent: str) -> bool:
    """Whether a `traceparent`'s trace is recorded."""
    return bool(int(parent.rpartition("-")[2] or "0", 16) & 1)
