"""The section `perdure` of langgraph.json."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph

from perdure import durable
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


def _nothing(state: MessagesState) -> dict[str, Any]:
    return {}


async def test_its_heartbeat_is_that_of_nodes_that_declare_none(tmp_path: Path) -> None:
    options = await plugin_options(project(tmp_path, {"heartbeat_seconds": 60}))
    inner = StateGraph(MessagesState).add_node("plain", _nothing)
    inner.add_node("declared", _nothing, metadata=durable(heartbeat=timedelta(seconds=9)))
    inner.add_edge(START, "plain").add_edge("plain", "declared")
    graph = StateGraph(MessagesState).add_node("inner", inner.compile()).add_edge(START, "inner").compile()

    def limits(**settings: Any) -> list[float]:
        mirror = PerdurePlugin({"g": graph}, **settings).registry.mirror("g")
        nodes = mirror.nodes["inner"].subgraphs[0].nodes
        return [nodes[name].bound.policy.heartbeat.total_seconds() for name in ("plain", "declared")]

    assert (limits(), limits(**options)) == ([5, 9], [60, 9])
    with pytest.raises(ConfigError, match="heartbeat must be a timedelta above zero"):
        limits(heartbeat=timedelta(0))


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
        ({"heartbeat_seconds": 0}, ConfigError, "'perdure.heartbeat_seconds' is 0; it must be a number"),
        ({"classify": "./own_table.py:other"}, GraphLoadError, "has no 'other'"),
        ({"classify": 3}, ConfigError, "perdure.classify"),
    ],
)
async def test_what_cannot_work_is_refused(
    tmp_path: Path, settings: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await plugin_options(project(tmp_path, settings))
