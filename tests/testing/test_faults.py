"""Exploring faults: a sound graph bears them all, and what is unsound is found and named."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from xml.etree import ElementTree

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from perdure import current_effect, effect
from perdure.testing.faults import Ending, Fault, Plan, Report, Violation, explore

pytestmark = pytest.mark.xdist_group("crashes")


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


class Service:
    """A service outside, with its own books. `keyed`: a key has its effect once. `undoes`: it really takes back."""

    def __init__(self, *, keyed: bool = True, undoes: bool = True) -> None:
        self.keyed = keyed
        self.undoes = undoes
        self.books: list[tuple[str, str]] = []

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Service]:
        self.books.clear()
        yield self

    def apply(self, name: str) -> None:
        entry = (current_effect().key, name)
        if not self.keyed or entry not in self.books:
            self.books.append(entry)

    def take_back(self, key: str) -> None:
        if self.undoes:
            self.books[:] = [entry for entry in self.books if entry[0] != key]

    def graph(self) -> Any:
        def undo(key: str) -> None:
            self.take_back(key)

        @effect(undo=undo)
        async def reserve(name: str) -> str:
            self.apply(name)
            return f"{name} reserved"

        @effect(undo=undo)
        async def charge(name: str) -> str:
            self.apply(name)
            return f"{name} charged"

        async def hold(state: State) -> dict[str, Any]:
            return {"log": [await reserve("goods")]}

        async def pay(state: State) -> dict[str, Any]:
            if interrupt("Charge the card?") != "yes":
                raise ValueError("refused")
            return {"log": [await charge("money")]}

        return chain(hold, pay)


def chain(*nodes: Any) -> Any:
    return StateGraph(State).add_sequence(list(nodes)).add_edge(START, nodes[0].__name__).compile()


def audit(service: Service, ending: Ending) -> Iterator[Violation]:
    names = sorted(name for _, name in service.books)
    if len(set(names)) < len(names):
        yield Violation("doubled", f"the books say {names}")
    elif ending.status == "completed" and names != ["goods", "money"]:
        yield Violation("lost", f"the books say {names}")
    elif ending.status != "completed" and len(names) > len(ending.to_undo):
        yield Violation("lost", f"left behind: {names}")


async def explored(service: Service, points: Any, **options: Any) -> Report:
    options = {"decisions": ["yes"], "rejection": "no"} | options
    return await explore(
        service.graph(), {"log": []}, world=service.opened, oracle=audit, points=points, **options
    )


async def test_a_sound_graph_bears_a_sample_of_all_faults_and_of_pairs() -> None:
    report = await explored(Service(), 4, depth=2, seed=1)
    report.assert_ok()
    assert (report.performed, report.effects) == (2, True)
    assert report.points > 40
    assert len(report.tried) > 2 + 4
    assert "seed 1" in report.table()


async def test_each_kind_of_fault_comes_and_ends_as_it_should() -> None:
    expected = {
        "crash-after@effect:charge:1": "same",
        "crash-after@workflow:2": "same",
        "restart-before@effect:reserve:1": "same",
        "restart-after@decision:1": "same",
        "fail-after@effect:charge:1": "undone",
        "cancel-after@effect:charge:1": "undone",
        "reject@decision:1": "undone",
        "fail-after@effect:charge:1 fail-before@undo:reserve:1": "person",
        "crash-before@node:nowhere:1": "same",
    }
    report = await explored(Service(), list(expected))
    report.assert_ok()
    told = {str(tried.plan): tried for tried in report.tried[2:]}
    assert {plan: tried.verdict for plan, tried in told.items()} == expected
    assert [plan for plan, tried in told.items() if tried.missed] == ["crash-before@node:nowhere:1"]
    assert told["crash-after@effect:charge:1"].repeated == 1


async def test_a_service_that_knows_no_keys_is_found_out_and_the_plan_is_shrunk(tmp_path: Path) -> None:
    plan = "restart-after@node:hold:1 crash-after@effect:charge:1"
    report = await explored(Service(keyed=False), [plan])
    assert (report.ok, report.lost, report.doubled, report.stuck) == (False, 0, 1, 0)
    assert str(report.failed[0].smallest) == "crash-after@effect:charge:1"
    with pytest.raises(AssertionError, match="again: --plan 'crash-after@effect:charge:1'"):
        report.assert_ok()
    report.junit(tmp_path / "report.xml")
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")


async def test_an_undo_that_undoes_nothing_is_found_out() -> None:
    report = await explored(Service(undoes=False), ["cancel-after@effect:charge:1"])
    assert (report.lost, report.doubled, report.stuck) == (1, 0, 0)


async def test_another_result_is_found_out() -> None:
    calls: list[str] = []

    async def count(state: State) -> dict[str, Any]:
        calls.append("")
        return {"log": ["a result", len(calls) % 2]}

    async def twice(state: State) -> dict[str, Any]:
        calls.append("")
        return {}

    report = await explore(chain(count, twice), {"log": []}, points=["crash-after@node:count:1"])
    [tried] = report.failed
    assert str(tried.violations[0]) == "wrong: the run ended otherwise than undisturbed: log.1 is 0, not 1"
    assert not report.effects


async def test_a_run_without_an_end_is_found_out() -> None:
    calls: list[str] = []

    async def hang(state: State) -> dict[str, Any]:
        calls.append("")
        if len(calls) > 3:
            await asyncio.Event().wait()
        return {}

    report = await explore(
        chain(hang), {"log": []}, points=["crash-after@node:hang:1"], limit=timedelta(seconds=5)
    )
    assert (report.stuck, report.lost, report.doubled, report.wrong) == (1, 0, 0, 0)


async def test_a_run_that_does_nothing_tests_nothing() -> None:
    async def fail(state: State) -> None:
        raise ValueError("no")

    report = await explore(chain(fail), {"log": []})
    assert "did nothing (failed: " in report.problem
    assert report.undisturbed.startswith("failed: ")
    assert "nothing was tested" in report.table()
    with pytest.raises(AssertionError):
        report.assert_ok()


def test_a_plan_is_one_line_of_text() -> None:
    plan = Plan((Fault("crash-after", "node:my node/inner:2"), Fault("reject", "decision:1")))
    assert str(plan) == "'crash-after@node:my node/inner:2' reject@decision:1"
    assert Plan.parse(str(plan)) == plan
    assert Plan.parse("") == Plan()
    with pytest.raises(ValueError, match="write KIND@PLACE"):
        Plan.parse("explode@node:a:1")
