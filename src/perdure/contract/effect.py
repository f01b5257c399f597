"""Effects: actions on the outside world that have a key, may have an undo, and are remembered by their run.

Side: contract. An effect is asked for like a `@task`; what is more of it is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Effect",
    "EffectEntry",
    "EffectGrant",
    "EffectRequest",
    "EffectState",
    "InDoubt",
    "OwedEffects",
    "PlaceBook",
    "UndoCall",
    "UndoPolicy",
]

InDoubt = Literal["retry", "check", "ask", "fail"]
EffectState = Literal["started", "done", "failed", "undone", "undo_failed", "closed"]


@dataclass(frozen=True)
class Effect:
    """What the body of an effect may know of its call.

    `key` is the same in every attempt, after restarts, resets and interrupts; another call has another. `in_doubt` says
    that this call may have happened before.
    """

    key: str
    name: str
    attempt: int = 1
    in_doubt: bool = False


@dataclass(frozen=True)
class UndoPolicy:
    """How an undo is run: its retries, and the limit of one attempt, in seconds. `parallel`: at the same time as those next
    to it in the order that are so, too."""

    attempts: int
    first: float
    factor: float
    most: float
    timeout: float
    parallel: bool = False


@dataclass(frozen=True)
class EffectRequest:
    """The part of a task request that makes it an effect.

    `place` tells calls of one effect within one node call apart: the tool call's id, if it is in a tool, and a number.
    `digest` is of the arguments: the same place with other arguments is an error. `undo` is `None` for an effect that
    has none. `answers` are a person's, who was asked what became of an earlier call; the last one counts.
    """

    place: str
    digest: str
    in_doubt: InDoubt = "retry"
    undo: UndoPolicy | None = None
    answers: list[Any] = field(default_factory=list[Any])


@dataclass(frozen=True)
class EffectGrant:
    """The leave to make an effect: its key, and whether it may have happened before."""

    key: str
    in_doubt: bool = False


@dataclass(frozen=True)
class EffectEntry:
    """What a run remembers of an effect. `result` is JSON; `None` where it is not known. `asked` is how often a
    person was asked whether it happened, up to the answer that counted. `after` is the thread's latest checkpoint then."""

    key: str
    effect: str
    name: str
    node: str
    step: int
    digest: str
    state: EffectState
    args: list[Any] = field(default_factory=list[Any])
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    result: str | None = None
    undo: UndoPolicy | None = None
    reason: str = ""
    asked: int = 0
    after: str = ""


@dataclass(frozen=True)
class OwedEffects:
    """What a run did and has not taken back, newest first."""

    entries: list[EffectEntry] = field(default_factory=list[EffectEntry])


@dataclass(frozen=True)
class PlaceBook:
    """Numbers of node calls, by node path: the next that nobody had, and those that were given back."""

    following: dict[str, int] = field(default_factory=dict[str, int])
    free: dict[str, list[int]] = field(default_factory=dict[str, list[int]])


@dataclass(frozen=True)
class UndoCall:
    """The activity's input: undo that effect. `result` is what it returned, `None` where that is not known. `trace` is as
    a node call's."""

    effect: str
    name: str
    key: str
    args: list[Any] = field(default_factory=list[Any])
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    result: Any = None
    trace: str = ""
