"""The section `perdure` of langgraph.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import ConfigError, GraphLoadError
from perdure.graph.project import Project, load_project
from perdure.graph.project_settings import plugin_options
from perdure.worker.plugin import PerdurePlugin


def project(folder: Path, settings: Any) -> Project:
    (folder / "own_table.py").write_text("def classify(error):\n    return None\n\n\nnumber = 3\n")
    config = {"graphs": {"g": "./agent.py:graph"}, "perdure": settings}
    (folder / "langgraph.json").write_text(json.dumps(config))
    return load_project(folder)


async def test_without_it_nothing_is_set(tmp_path: Path) -> None:
    assert await plugin_options(project(tmp_path, None)) == {}


async def test_its_keys_are_options_of_the_plugin(tmp_path: Path) -> None:
    settings = {"model_output": "complete", "client_retries": True, "classify": "./own_table.py:classify"}
    options = await plugin_options(project(tmp_path, settings))
    assert options.pop("classify")(ValueError()) is None
    assert options == {"model_output": "complete", "client_retries": True}
    PerdurePlugin(**options)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ([], ConfigError, "'perdure' must be an object"),
        (
            {"modeloutput": "any"},
            ConfigError,
            "has no key 'modeloutput'; it may have .*model_output",
        ),
        (
            {"model_output": "all"},
            ConfigError,
            "'perdure.model_output' is 'all'; it must be 'any' or 'complete'",
        ),
        (
            {"classify": "./own_table.py:number"},
            ConfigError,
            "'perdure.classify' is a int; it must be a function",
        ),
        ({"classify": "./own_table.py:other"}, GraphLoadError, "has no 'other'"),
        ({"classify": 3}, ConfigError, "perdure.classify"),
    ],
)
async def test_what_cannot_work_is_refused(
    tmp_path: Path, settings: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await plugin_options(project(tmp_path, settings))
