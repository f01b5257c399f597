"""`@task` calls: what an attempt of a node asks its workflow to run, and what comes back.

Side: contract. An attempt sends `TaskBatch` as a signal; the workflow schedules one activity per request (`TaskCall`)
and keeps each outcome until the node call ends. Small arguments are also in the activity's input; others are in the
history once, in the signal. Outcomes are told to the attempt in its own process, or asked for by a query (`TaskPoll`):
neither is history.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from perdure.contract.effect import EffectGrant, EffectRequest
from perdure.contract.node import NodeCall
from perdure.contract.thread import SavedCheckpoint

__all__ = [
    "INTERRUPTED",
    "TaskBatch",
    "TaskCall",
    "TaskInput",
    "TaskNews",
    "TaskOutcome",
    "TaskPoll",
    "TaskRequest",
    "TaskRetry",
]

INTERRUPTED = "perdure-interrupted"
"""Marks the payload of a result that holds interrupts: it belongs to the attempt that asked, and to no later one."""


@dataclass(frozen=True)
class TaskRetry:
    """A retry policy; seconds."""

    attempts: int
    first: float
    factor: float
    most: float


@dataclass(frozen=True)
class TaskInput:
    """What a task has that its node has not. `id` and `namespace` are LangGraph's for the task, `resume` the answers that
    it already has, `nested` the checkpoints of graphs that it ran by itself up to an interrupt."""

    id: str
    namespace: str
    args: list[Any] = field(default_factory=list[Any])
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    resume: list[Any] = field(default_factory=list[Any])
    nested: list[SavedCheckpoint] = field(default_factory=list[SavedCheckpoint])


@dataclass(frozen=True)
class TaskRequest:
    """One call of one task.

    `key` is the node call and the place in its body: "3.0" is the first task that node call 3 calls, "3.0.1" the second
    one that this task calls. It is the same in every attempt. `task` says where the function is found
    ("package.module:name"). `small` input is sent to the activity, other is for the activity to ask for. `timeout` is for
    one attempt, in seconds. `effect` makes it a call of an effect: `task` is the effect's id then.
    """

    key: str
    task: str
    name: str
    input: TaskInput
    small: bool = False
    retry: TaskRetry | None = None
    timeout: float | None = None
    effect: EffectRequest | None = None


@dataclass(frozen=True)
class TaskBatch:
    """`asker` names the attempt that asks; no two attempts have the same."""

    asker: str
    requests: list[TaskRequest]


@dataclass(frozen=True)
class TaskCall(NodeCall):
    """The activity's input. `path` is the node's with the task's name at its end, `call` the request's key. Without
    `input`, `new` tells of the arguments."""

    task: str = ""
    input: TaskInput | None = None
    effect: EffectGrant | None = None


@dataclass(frozen=True)
class TaskPoll:
    asker: str
    keys: list[str]


@dataclass(frozen=True)
class TaskOutcome:
    """`data` is JSON: what the task did to LangGraph, as a node's outcome, or (`failed`) the fields of a `NodeFailed`.
    Of an effect that asks a person: `in_doubt` when it has to, and how often it `asked` before it was made."""

    key: str
    failed: bool
    data: str
    in_doubt: bool = False
    asked: int = 0


@dataclass(frozen=True)
class TaskNews:
    """The outcomes there are of what was asked for, as many as fit into one answer; `unknown` keys are not under way."""

    outcomes: list[TaskOutcome] = field(default_factory=list[TaskOutcome])
    unknown: list[str] = field(default_factory=list[str])
