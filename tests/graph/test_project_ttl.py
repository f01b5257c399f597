"""`checkpointer.ttl` of a project: how long threads stay that nobody uses."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.errors import ConfigError
from perdure.graph.project_ttl import ThreadTtl, thread_ttl


@pytest.mark.parametrize(
    ("section", "ttl"),
    [
        (None, None),
        ({}, None),
        ({"ttl": {"default_ttl": 60, "sweep_interval_minutes": 5}}, ThreadTtl(60)),
        ({"ttl": {"default_ttl": 0.5, "strategy": "keep_latest"}}, ThreadTtl(0.5, "keep_latest")),
    ],
)
def test_what_is_taken(section: Any, ttl: ThreadTtl | None) -> None:
    assert thread_ttl(section, "langgraph.json") == ttl


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"ttl": 60}, "default_ttl"),
        ({"ttl": {"default_ttl": 0}}, "default_ttl"),
        ({"ttl": {"default_ttl": "60"}}, "default_ttl"),
        ({"ttl": {"default_ttl": True}}, "default_ttl"),
        ({"ttl": {"default_ttl": 60, "strategy": "archive"}}, "strategy"),
    ],
)
def test_what_is_refused(section: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=rf"langgraph.json: \'checkpointer.ttl.{problem}"):
        thread_ttl(section, "langgraph.json")
