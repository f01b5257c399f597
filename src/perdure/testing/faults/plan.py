"""Faults, where they can come, and plans of them.

Side: testing. A *place* is a moment of a run that has a name which is the same in each run of the same scenario:

| place             | the moment                                                              |
|-------------------|-------------------------------------------------------------------------|
| `node:NAME:2`     | the second call of that node (a path, in subgraphs), its first attempt  |
| `task:NAME:1`     | the first call of that `@task`                                          |
| `effect:NAME:1`   | the first call of that effect                                           |
| `undo:NAME:1`     | the first undo of that effect                                           |
| `workflow:7`      | the seventh workflow task of the run                                    |
| `decision:1`      | the first question to a person                                          |

Invariant: a plan's text gives the plan again (`Plan.parse(str(plan)) == plan`). Not guaranteed: that two calls at the same
time are numbered alike in each run; their faults then come at the one or at the other.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["Fault", "Kind", "Plan", "Points", "chosen", "faults_at", "pairs"]

Kind = Literal[
    "crash-before",
    "crash-after",
    "fail-before",
    "fail-after",
    "cancel-before",
    "cancel-after",
    "restart-before",
    "restart-after",
    "reject",
    "kill-before",
    "kill-after",
    "server-before",
    "server-after",
]

KINDS: tuple[Kind, ...] = get_args(Kind)
_AT_ACTIVITIES: tuple[Kind, ...] = KINDS[:8]
_TO_PROCESSES: tuple[Kind, ...] = KINDS[9:]
_AT_WORKFLOW_TASKS: tuple[Kind, ...] = ("crash-after",)
_AT_DECISIONS: tuple[Kind, ...] = (
    "reject",
    "cancel-before",
    "cancel-after",
    "restart-before",
    "restart-after",
)


@dataclass(frozen=True)
class Fault:
    """One fault at one place; as text `crash-after@effect:charge:1`."""

    kind: Kind
    place: str

    def __str__(self) -> str:
        return f"{self.kind}@{self.place}"


@dataclass(frozen=True)
class Plan:
    """The faults of one run; each comes once. Without any it is the undisturbed run."""

    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        return shlex.join(str(fault) for fault in self.faults)

    @classmethod
    def parse(cls, text: str) -> Plan:
        """A plan from its text: faults with blanks between them.

        Raises:
            ValueError: for what is no fault, with what one looks like.
        """
        return cls(tuple(_fault(word) for word in shlex.split(text)))

    def without(self, fault: Fault) -> Plan:
        """The plan with one fault fewer."""
        at = self.faults.index(fault)
        return Plan(self.faults[:at] + self.faults[at + 1 :])


Points = int | Literal["all"] | Sequence[Plan | str]


def faults_at(place: str, *, processes: bool = False) -> list[Fault]:
    """Every fault that can come there: to a worker in this process, or to whole processes."""
    kinds = _TO_PROCESSES if processes else _AT_ACTIVITIES
    if processes and place.startswith(("workflow:", "decision:")):
        kinds = ()
    elif place.startswith("workflow:"):
        kinds = _AT_WORKFLOW_TASKS
    elif place.startswith("decision:"):
        kinds = _AT_DECISIONS
    return [Fault(kind, place) for kind in kinds]


def chosen(points: Points, plans: Sequence[Plan], *, seed: int) -> list[Plan]:
    """Those of the possible plans that are meant: all, so many drawn by the seed in their order, or quite others.

    Raises:
        ValueError: for text that is no plan.
    """
    if isinstance(points, int):
        drawn = random.Random(seed).sample(range(len(plans)), min(points, len(plans)))
        return [plans[at] for at in sorted(drawn)]
    if isinstance(points, str):
        return list(plans)
    return [Plan.parse(plan) if isinstance(plan, str) else plan for plan in points]


def pairs(first: Fault, later: Iterable[str]) -> list[Plan]:
    """That fault, with each that can come at a later place."""
    return [Plan((first, fault)) for place in later for fault in faults_at(place)]


def _fault(word: str) -> Fault:
    kind, at, place = word.partition("@")
    if kind not in KINDS or not at or not place:
        raise ValueError(
            f"{word!r} is no fault: write KIND@PLACE, such as crash-after@effect:charge:1; kinds: {', '.join(KINDS)}"
        )
    return Fault(kind, place)
