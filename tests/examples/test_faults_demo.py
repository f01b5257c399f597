"""`python -m faults.demo` as a newcomer runs it: real processes, and nothing left of them afterwards."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from faults.agent import PAGES, TOTAL
from faults.bad_day import FAULTS
from faults.demo.summary import Row, Summary

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture
def mark() -> Iterator[str]:
    """On every process that comes out of the demo."""
    mark = uuid.uuid4().hex
    yield mark
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["environ", "cmdline", "status"])
        if (process.info["environ"] or {}).get("PERDURE_DEMO_MARK") == mark
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
    assert left == []


def test_every_third_call_fails_and_the_agent_ends_with_the_right_answer(mark: str, tmp_path: Path) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    env = {**kept, "HOME": str(tmp_path), "PYTHONPATH": str(EXAMPLES), "PERDURE_DEMO_MARK": mark}
    run = subprocess.run(
        [sys.executable, "-m", "faults.demo", "--json"],
        cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr
    assert "\x1b" not in run.stdout
    summary = json.loads(run.stdout.splitlines()[-1])
    assert summary["answer"] == f"The pages come to {TOTAL}."
    assert (summary["calls"], summary["problems"]) == (len(PAGES) + 1 + len(FAULTS), [])
    assert [row["became"].partition(":")[0] for row in summary["rows"]] == [
        "overloaded",
        "rate_limited",
        "connection",
        "connection",
        "timeout",
        "malformed_output",
        "the model was told, and put it right",
        "the model was told, and put it right",
        "malformed_output",
    ]
    assert [row["paid"] for row in summary["rows"]] == [False] * 3 + [True] * 6


def told() -> Summary:
    rows = tuple(Row(3 * number, name, "it passed", False) for number, (name, _) in enumerate(FAULTS, 1))
    calls = len(PAGES) + 1 + len(FAULTS)
    return Summary(f"The pages come to {TOTAL}.", rows, calls=calls, paid=20, steps=40, seconds=1.0)


def test_a_demo_that_kept_its_promises_has_no_problems() -> None:
    assert told().problems == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer": "The pages come to 12."}, "the agent says 'The pages come to 12.'"),
        ({"rows": told().rows[:-1]}, "8 of 9 faults were met"),
        ({"calls": 35}, "35 calls were made"),
        ({"rows": (replace(told().rows[0], became=""), *told().rows[1:])}, "nothing is recorded of: 503"),
    ],
)
def test_a_broken_promise_is_found(change: dict[str, Any], problem: str) -> None:
    assert any(problem in found for found in replace(told(), **change).problems)
