"""The same SDK calls, answered by `langgraph dev` (recorded: recorded.json) and by Perdure: they answer alike, but for what
docs/server.md says. `make compare-server` records anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from differences import MEANT, differences, row_of
from peer_scenarios import SCENARIOS

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded.json").read_text("utf-8"))
DOCS = Path(__file__).parents[2] / "docs" / "server.md"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_they_answer_alike(scenario: str, told: dict[str, Any]) -> None:
    found = differences(scenario, RECORDED["scenarios"][scenario], told[scenario])
    assert [difference for difference in found if row_of(difference) is None] == []


def test_what_is_meant_to_differ_does_and_is_in_the_docs(told: dict[str, Any]) -> None:
    rows = {
        row_of(difference)
        for name, theirs in RECORDED["scenarios"].items()
        for difference in differences(name, theirs, told[name])
    }
    text = DOCS.read_text("utf-8")
    assert [row for row in MEANT if row not in rows] == []
    assert [row for row in rows if row and row not in text] == []
