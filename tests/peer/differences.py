"""What differs between two servers' notes, place by place, and which of it is meant: each entry of `MEANT` names its row in
docs/server.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["MEANT", "Difference", "differences", "row_of"]

MISSING = "(nothing)"


class Difference(NamedTuple):
    """`place` is `scenario / note / path`."""

    place: str
    theirs: Any
    ours: Any


_NULLS = "Fields that are null may be left out"
_SERVER_ERRORS = "What cannot be fulfilled is never a 500"
# From the beginning of a row to the places where it shows.
MEANT: Mapping[str, tuple[str, ...]] = {
    _NULLS: (),
    _SERVER_ERRORS: (),
    "A thread has `interrupts` also where there are none": (r".*\.interrupts$",),
    "Threads are listed as they were created": (r"threads_are_found / all, as made / \[\d\]",),
    "What is unknown is 404": (
        r"a_thread_is_copied / of nothing / ",
        r"states / unknown checkpoint / ",
        r"a_run_of_its_own / join nothing / ",
        r"threads_that_are_not_there / unknown graph / ",
        r"requests_that_are_none / 33 ",
    ),
    "A state that cannot be updated is 409": (
        r"a_state_is_updated / (as no node|of a thread without a graph) / ",
        r"requests_that_are_none / 14 ",
    ),
    "A body or query that does not fit is 422": (r"requests_that_are_none / (22|30|31|35|45) ",),
    "A wrong method is 405": (r"requests_that_are_none / 58 ",),
    "A run that is over cannot be cancelled: 409": (r"cancelling / again / ",),
    "A thread whose run was cancelled is `idle`": (r"cancelling / thread / ",),
    "A run's `kwargs` are its stream modes alone": (r"a_run_of_its_own / kwargs / ",),
    "A run's `metadata` names its graph and its assistant": (
        r"runs_without_a_thread / made / \.metadata\.graph_id",
    ),
    "Every stream can be resumed": (r"joining / joined after the end / ",),
    "`set_latest` brings the context back, too": (r"an_assistant / (back|third) / \.context",),
    "A thread's `config` is empty": (r".* / \.config\.configurable$",),
    "Tasks of a state have no `path`": (r".*tasks\[\d+\]\.path$",),
    "A task of a state names its subgraph's checkpoint with `subgraphs=True` alone": (
        r"a_state_with_subgraphs / outside / \.tasks\[0\]\.checkpoint",
    ),
}


def row_of(difference: Difference) -> str | None:
    """The row that means it; `None` where nothing does."""
    place, theirs, ours = difference
    if theirs is None and ours == MISSING:
        return _NULLS
    if theirs == 500 and isinstance(ours, int) and 400 <= ours < 500:
        return _SERVER_ERRORS
    for row, places in MEANT.items():
        if any(re.match(pattern, place) for pattern in places):
            return row
    return None


def differences(scenario: str, theirs: list[list[Any]], ours: list[list[Any]]) -> Iterator[Difference]:
    known: dict[str, Any] = dict(ours)
    for what, value in theirs:
        yield from _between(f"{scenario} / {what} / ", value, known.pop(what, MISSING))
    for what, value in known.items():
        yield Difference(f"{scenario} / {what} / ", MISSING, value)


def _between(place: str, theirs: Any, ours: Any) -> Iterator[Difference]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted({*theirs, *ours}):
            yield from _between(f"{place}.{key}", theirs.get(key, MISSING), ours.get(key, MISSING))
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from _between(f"{place}[{number}]", one, other)
    elif theirs != ours or type(theirs) is not type(ours):
        yield Difference(place, theirs, ours)
