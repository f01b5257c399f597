"""What must hold after a run, whatever came in its way.

Side: testing; pure.

| the run                                       | what is checked                                                            |
|-----------------------------------------------|----------------------------------------------------------------------------|
| ended as the undisturbed one                  | same result, but for what differs between two undisturbed runs, too; each effect stands once |
| ended well otherwise (a failure, a rejection) | nothing of that: the graph's own way out                                   |
| failed, or was cancelled                      | each effect with an undo is undone, or a person is asked to undo just that |
| any                                           | it ended; an effect's body is begun again only under its key and in doubt; the history replays |

Not seen here: what the services outside made of the calls. An oracle sees it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import BaseModel

from perdure.testing.faults.ending import Ending
from perdure.testing.faults.plan import Plan
from perdure.testing.faults.record import Record

__all__ = ["Baseline", "Verdict", "Violation", "Wrong", "left_without_undo", "verdict_on", "violations"]

Wrong = Literal["lost", "doubled", "stuck", "wrong"]
Verdict = Literal["same", "undone", "person", "other"]

# These change what a graph has to do with; all others must not change its result.
_CHANGING = ("fail", "reject")
_MOST_NAMED = 3


@dataclass(frozen=True)
class Violation:
    """`lost`: an effect is missing, or was left behind and nobody was told. `doubled`: one happened twice. `stuck`: the run
    did not end. `wrong`: anything else."""

    kind: Wrong
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class Baseline:
    """The undisturbed run, made twice: what differs between the two says nothing."""

    def __init__(self, ending: Ending, record: Record, again: Ending) -> None:
        self.ending = ending
        self.record = record
        first, second = _leaves(ending), _leaves(again)
        self._leaves = {path: leaf for path, leaf in first.items() if second.get(path, _ABSENT) == leaf}
        self._volatile = (first.keys() | second.keys()) - self._leaves.keys()

    def differences(self, ending: Ending) -> list[str]:
        """Where that end is another one, in words."""
        told = _leaves(ending)
        return [
            f"{path or 'the result'} is {told.get(path, _ABSENT)!r:.80}, not {self._leaves.get(path, _ABSENT)!r:.80}"
            for path in sorted((self._leaves.keys() | told.keys()) - self._volatile)
            if told.get(path, _ABSENT) != self._leaves.get(path, _ABSENT) and not self._is_volatile(path)
        ]

    def _is_volatile(self, path: str) -> bool:
        """Whether it is in a list or an object that has not always the same parts."""
        wholes = [name.removesuffix("()") for name in self._volatile if name.endswith("()")]
        return any(not whole or path.startswith(f"{whole}.") for whole in wholes)


def verdict_on(ending: Ending, baseline: Baseline) -> Verdict:
    """How the run came out; whether that is right is not said."""
    if ending.to_undo or ending.in_doubt:
        return "person"
    if ending.status == baseline.ending.status and not baseline.differences(ending):
        return "same"
    return "undone" if ending.status in ("failed", "cancelled") else "other"


def violations(plan: Plan, ending: Ending, record: Record, baseline: Baseline) -> list[Violation]:
    """All that is wrong as far as the worker and the run can tell."""
    found = _repeats(record)
    if ending.status == "stuck":
        return [*found, Violation("stuck", ending.failure)]
    if ending.status in ("failed", "cancelled"):
        return [*found, *_left_behind(plan, ending, record)]
    changing = any(fault.kind.startswith(_CHANGING) for fault in plan.faults)
    differences = baseline.differences(ending)
    if ending.status == baseline.ending.status and not differences:
        return [*found, *_not_once(record, baseline.record)]
    if not changing and not ending.in_doubt:
        told = "; ".join(differences[:_MOST_NAMED]) or f"it is {ending.status}, not {baseline.ending.status}"
        found.append(Violation("wrong", f"the run ended otherwise than undisturbed: {told}"))
    return found


def left_without_undo(ending: Ending, record: Record) -> tuple[str, ...]:
    """The effects that a run left behind because they have no undo; that is how they were declared."""
    if ending.status not in ("failed", "cancelled"):
        return ()
    return tuple(sorted({event.name for event in record.standing.values() if not event.undoable}))


def _repeats(record: Record) -> list[Violation]:
    begun: set[str] = set()
    found: list[Violation] = []
    for event in record.of("effect"):
        if event.stage != "begun":
            continue
        if event.key in begun and not event.in_doubt:
            found.append(
                Violation("doubled", f"{event.name} was made again, and not told that it is in doubt")
            )
        begun.add(event.key)
    return found


def _not_once(record: Record, undisturbed: Record) -> list[Violation]:
    """Compares what stands by name: keys belong to their run."""
    stands = Counter(event.name for event in record.standing.values() if event.stage == "done")
    should = Counter(event.name for event in undisturbed.standing.values() if event.stage == "done")
    more = [
        Violation("doubled", f"{name} stands {stands[name]} times, not {count}")
        for name, count in should.items()
        if stands[name] > count
    ]
    less = [
        Violation("lost", f"{name} stands {stands[name]} times, not {count}")
        for name, count in should.items()
        if stands[name] < count
    ]
    new = [
        Violation("doubled", f"{name} was made, which the undisturbed run does not")
        for name in stands
        if name not in should
    ]
    return [*more, *less, *new]


def _left_behind(plan: Plan, ending: Ending, record: Record) -> list[Violation]:
    # An undo that was done and seemed to fail: that a person sees to it is right.
    places = [fault.place.split(":") for fault in plan.faults if fault.kind == "fail-after"]
    unknown = {place[1] for place in places if place[0] == "undo"}
    standing = {key: event for key, event in record.standing.items() if event.undoable}
    known = record.names
    silent = [
        Violation("lost", f"{event.name} may have happened, was not undone, and nobody was told")
        for key, event in standing.items()
        if key not in ending.to_undo
    ]
    untrue = [
        Violation("wrong", f"a person was asked to undo {known.get(key, key)!r}, which is undone")
        for key in ending.to_undo
        if key in known and key not in standing and known[key] not in unknown
    ]
    return [*silent, *untrue]


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Absent()


def _leaves(ending: Ending) -> dict[str, Any]:
    """The parts of the result, or of what is asked, by their path."""
    leaves: dict[str, Any] = {}
    value = ending.asked if ending.status == "waiting" else ending.result
    todo: list[tuple[str, Any]] = [("", value)]
    while todo:
        path, item = todo.pop()
        parts = _parts(item)
        if parts is None:
            leaves[path] = item
            continue
        leaves[f"{path}()"] = len(parts)
        todo += [(f"{path}.{name}" if path else str(name), part) for name, part in parts.items()]
    return leaves


def _parts(item: Any) -> dict[Any, Any] | None:
    if isinstance(item, BaseModel):
        return {name: getattr(item, name) for name in type(item).model_fields}
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    if isinstance(item, Mapping):
        return dict(cast("Mapping[Any, Any]", item))
    if isinstance(item, (list, tuple)):
        return dict(enumerate(cast("Sequence[Any]", item)))
    return None
