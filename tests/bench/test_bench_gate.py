"""The benchmark's gate and report, on fixed numbers: what is met, missed and failed is told so."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"
PARAMETERS = {"steps": 200, "bytes": 2048}


@pytest.fixture(scope="module")
def suite() -> Iterator[Any]:
    """The modules of bench/suite; its programs find them beside themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        names = ("baseline", "contestant", "plots", "report", "scenarios", "summary")
        yield SimpleNamespace(**{name: importlib.import_module(f"suite.{name}") for name in names})


def measured(wall: float, cpu: float, history: int = 600_000) -> dict[str, Any]:
    more = {"history_halves": [history // 2, history // 2]}
    return {
        "ok": True,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "steps": 200,
        "history_bytes": history,
        "more": more,
    }


FAILED = {"ok": False, "error": "BlobError: too large | 3 MB"}
# The machine was half as fast in the second round.
GOOD = {
    "bare": [measured(4, 1), measured(8, 2), measured(4.2, 1)],
    "perdure": [measured(4.4, 1.2), measured(8.8, 2.4), measured(4.4, 1.5)],
    "temporalio-langgraph": [measured(22, 9, 40_000_000), {}, {}],
}
SLOW = GOOD | {"perdure": [measured(5, 1.5), measured(10, 3), measured(5, 1.5)]}


def results(rounds: dict[str, Any], rows: list[dict[str, Any]], **others: Any) -> dict[str, Any]:
    machine = {
        "date": "2020-01-01",
        "minutes": 3,
        "cpu": "CPU",
        "cores": 2,
        "memory_gb": 8,
        "system": "Linux",
        "python": "3.11",
        "versions": {"temporalio": "1"},
        "load": [0.1, 0.2],
    }
    told = {"steps": {"parameters": PARAMETERS, "rounds": rounds, "rows": rows}}
    return {"machine": machine, "scenarios": told, "rows": others}


def test_a_ratio_is_of_the_same_round(suite: Any) -> None:
    found = suite.summary.summarize(GOOD)
    assert found["perdure"].wall_ratio == pytest.approx(1.1)
    assert found["perdure"].cpu_ms == pytest.approx(7.5)
    assert found["bare"].wall_seconds == 4.2
    assert found["temporalio-langgraph"].rounds == 1


@pytest.mark.parametrize(("rounds", "missed"), [(GOOD, []), (SLOW, ["wall", "worker"])])
def test_targets_are_met_or_missed(suite: Any, rounds: Any, missed: list[str]) -> None:
    rows = suite.summary.target_rows("steps", PARAMETERS, rounds)
    assert len(rows) == 6
    assert [row["name"].split()[0] for row in rows if not row["met"]] == missed
    assert suite.report.markdown(results(rounds, rows)).count("**MISSED**") == len(missed)


def test_a_contestant_that_failed_is_told_with_its_error(suite: Any) -> None:
    rounds = GOOD | {"temporalio-langgraph": [FAILED, {}, {}]}
    rows = suite.summary.target_rows("steps", PARAMETERS, rounds)
    [peer] = [row for row in rows if "temporalio" in row["name"]]
    assert peer["met"] is None
    page = suite.report.markdown(results(rounds, rows, kill={"ok": False, "error": "no such thing"}))
    assert page.count("BlobError: too large \\| 3 MB") == 2
    assert page.count("no such thing") == 2
    assert "failed: BlobError" in suite.plots.bars("<steps>", suite.summary.summarize(rounds))


def test_the_gate_fails_beyond_its_margins_and_for_what_is_missing(suite: Any) -> None:
    compare, baseline = suite.baseline.compare, suite.baseline.new_baseline(results(GOOD, []))
    assert all(one.ok for one in compare(baseline, results(GOOD, [])))
    worse = [(one.what, one.ok) for one in compare(baseline, results(SLOW, []))]
    assert worse == [("cpu", False), ("wall", True), ("history", True)]
    grown = GOOD | {"perdure": [measured(4, 1, 640_000)]}
    assert [one.what for one in compare(baseline, results(grown, [])) if not one.ok] == ["history"]
    failed = compare(baseline, results(GOOD | {"perdure": [FAILED]}, []))
    assert [one.ok for one in failed] == [False] * 3
    assert "too large" in suite.baseline.table(failed)
    with pytest.raises(ValueError, match="too large"):
        suite.baseline.new_baseline(results(GOOD | {"perdure": [FAILED]}, []))


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("print('{\"ok\": true}')", None),
        ("raise ValueError('no luck')", "ended with exit code 1: ValueError: no luck"),
        ("import json; print(json.dumps({'ok': False, 'error': 'E: it says so'}))", "E: it says so"),
        ("import time; time.sleep(60)", "no result after 1 s"),
    ],
)
def test_whatever_a_contestant_does_is_a_result(
    suite: Any, tmp_path: Path, program: str, error: str | None
) -> None:
    told = suite.contestant.run(
        [sys.executable, "-S", "-c", program], folder=tmp_path, limit=1 if "sleep" in program else 60
    )
    assert told.get("error") == error


def test_the_committed_baseline_is_of_every_quick_scenario(suite: Any) -> None:
    committed = json.loads((BENCH / "baseline.json").read_text())
    quick = {one.name for one in suite.scenarios.SCENARIOS if one.quick}
    assert quick <= committed["values"].keys()
    assert all({"cpu", "wall", "history"} <= committed["values"][name].keys() for name in quick)
