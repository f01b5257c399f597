"""What the checks of a run see in its record."""

from __future__ import annotations

from typing import Any

from perdure.testing.faults import Ending, Plan
from perdure.testing.faults.checks import Baseline, left_without_undo, verdict_on, violations
from perdure.testing.faults.record import Event, Record, Stage

CRASH = Plan.parse("crash-after@effect:charge:1")


def event(
    stage: Stage, key: str = "k", *, kind: str = "effect", in_doubt: bool = False, undoable: bool = True
) -> Event:
    return Event(f"{kind}:charge:1", stage, key, "charge", in_doubt, undoable)


def record(*events: Event) -> Record:
    return Record(events=list(events))


def ending(status: Any = "completed", result: Any = None, **fields: Any) -> Ending:
    return Ending("t", status, result=result, **fields)


DONE = (event("begun"), event("done"))
UNDONE = (event("begun", kind="undo"), event("done", kind="undo"))
BASELINE = Baseline(ending(result={"id": 1, "sum": 3}), record(*DONE), ending(result={"id": 2, "sum": 3}))


def told(end: Ending, *events: Event) -> list[str]:
    return [str(violation) for violation in violations(CRASH, end, record(*events), BASELINE)]


def test_what_differs_between_undisturbed_runs_is_not_compared() -> None:
    assert told(ending(result={"id": 7, "sum": 3}), *DONE) == []
    [difference] = told(ending(result={"id": 7, "sum": 4}), *DONE)
    assert difference == "wrong: the run ended otherwise than undisturbed: sum is 4, not 3"


def test_each_effect_stands_once_after_a_run_that_ended_well() -> None:
    good = ending(result={"id": 7, "sum": 3})
    assert told(good, *DONE, event("begun", in_doubt=True), event("done", in_doubt=True)) == []
    assert told(good, *DONE, event("begun"), event("done")) == [
        "doubled: charge was made again, and not told that it is in doubt"
    ]
    assert told(good, *DONE, event("begun", "other"), event("done", "other")) == [
        "doubled: charge stands 2 times, not 1"
    ]
    assert told(good, *DONE, *UNDONE) == ["lost: charge stands 0 times, not 1"]


def test_what_a_failed_run_did_is_undone_or_a_person_knows() -> None:
    left = ["lost: charge may have happened, was not undone, and nobody was told"]
    assert told(ending("failed"), *DONE, *UNDONE) == []
    assert told(ending("failed"), *DONE) == left
    assert told(ending("cancelled"), event("begun")) == left
    assert told(ending("failed"), *DONE, *UNDONE, event("begun", in_doubt=True)) == left
    asked = ending("failed", to_undo=("k",))
    assert told(asked, *DONE) == []
    assert told(asked, *DONE, *UNDONE) == ["wrong: a person was asked to undo 'charge', which is undone"]
    lost = Plan.parse("fail-after@undo:charge:1")
    assert violations(lost, asked, record(*DONE, *UNDONE), BASELINE) == []
    assert verdict_on(asked, BASELINE) == "person"


def test_an_effect_without_an_undo_stays_and_is_named() -> None:
    stays = record(event("begun", undoable=False), event("done", undoable=False))
    assert violations(CRASH, ending("failed"), stays, BASELINE) == []
    assert left_without_undo(ending("failed"), stays) == ("charge",)
    assert left_without_undo(ending(), stays) == ()


def test_a_run_without_an_end_is_stuck() -> None:
    assert told(ending("stuck", failure="has not ended"), *DONE) == ["stuck: has not ended"]
