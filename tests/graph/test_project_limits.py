"""Limits out of a project's `langgraph.json`."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perdure import FOR_EVER, Budget
from perdure.contract.limits import RateLimit
from perdure.errors import ConfigError
from perdure.graph.project import load_project


def project(folder: Path, section: Any) -> Any:
    file = folder / "langgraph.json"
    file.write_text(json.dumps({"graphs": {"g": "./g.py:graph"}, "perdure": section}))
    return load_project(file)


def test_all_limits_are_read(tmp_path: Path) -> None:
    read = project(
        tmp_path,
        {
            "budget": {"tokens": 5, "money": 1.5, "wall_time_seconds": 60, "on_exhausted": "ask"},
            "thread_budget": {"tool_calls": 3},
            "deadline_seconds": 90,
            "approval_timeout_seconds": None,
            "rate_limits": {"gpt-4o": {"requests": 60, "per_seconds": 30}},
        },
    ).limits
    assert read.rates == {"gpt-4o": RateLimit(requests=60, per=timedelta(seconds=30))}
    limits = read.runs
    assert limits.budget == Budget(tokens=5, money=1.5, wall_time=timedelta(minutes=1), on_exhausted="ask")
    assert limits.thread_budget == Budget(tool_calls=3)
    assert limits.deadline == timedelta(seconds=90)
    assert limits.approval_timeout == FOR_EVER


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"budget": {"tokens": -1}},
            r"'budget': Budget\(tokens=...\) must be a whole number above zero, not -1",
        ),
        ({"budget": {"tokns": 1}}, "has no key 'tokns'"),
        ({"budget": 5}, "'budget' must be an object"),
        ({"deadline": 5}, "has no key 'deadline'"),
        ({"deadline_seconds": "soon"}, "must be a number of seconds"),
        ({"rate_limits": {"m": {"requests": 0}}}, "RateLimit.requests=....* must be a whole number"),
        ({"rate_limits": {"m": {}}}, "limits nothing"),
        ([], "'perdure' must be an object"),
        ([1], "'perdure' must be an object"),
    ],
)
def test_what_could_never_work_is_refused(tmp_path: Path, section: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        project(tmp_path, section)
    assert str(tmp_path / "langgraph.json") in str(caught.value)
