"""`perdure dev` keeps large values and memories in its folder, and the other commands find them there without being told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("cli")

SIZE = 3_000_000
AGENT = f"""
    from typing import Any

    from langgraph.graph import START, StateGraph
    from langgraph.runtime import Runtime
    from langgraph.types import interrupt
    from typing_extensions import TypedDict

    class State(TypedDict):
        value: Any

    async def grow(state: State, runtime: Runtime[None]):
        notes = await runtime.store.asearch(("notes",))
        await runtime.store.aput(("notes",), str(len(notes)), {{"text": "kept"}})
        return {{"value": [len(notes), len(state["value"]), "x" * {SIZE}]}}

    def ask(state: State):
        return {{"value": [*state["value"], interrupt("ok?")]}}

    builder = StateGraph(State)
    builder.add_node(grow)
    builder.add_node(ask)
    builder.add_edge(START, "grow")
    builder.add_edge("grow", "ask")
    graph = builder.compile()
"""


@pytest.fixture
def env() -> dict[str, str]:
    """Nobody's own configuration."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("TEMPORAL_", "PERDURE_"))}
    return {**own, "TEMPORAL_CONFIG_FILE": "/dev/null", "NO_COLOR": "1", "COLUMNS": "100"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text(textwrap.dedent(AGENT))
    store = {"ttl": {"default_ttl": 60}}
    config = {"graphs": {"big": "./agent.py:graph"}, "dependencies": ["."], "store": store}
    (tmp_path / "langgraph.json").write_text(json.dumps(config))
    return tmp_path


@contextmanager
def dev(folder: Path, env: dict[str, str], *options: str) -> Generator[list[str]]:
    """The command, once its worker is ready; what it said until then."""
    command = [sys.executable, "-m", "perdure.cli", "dev", "--port-temporal", "17233", "--ui-port", "18233"]
    with subprocess.Popen(
        [*command, *options], cwd=folder, env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = [process.stderr.readline()]
            while "worker ready" not in said[-1] and said[-1]:
                said.append(process.stderr.readline())
            assert said[-1], said
            yield said
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert process.returncode == 0


def perdure(folder: Path, env: dict[str, str], *arguments: str, code: int = 0) -> Any:
    command = [sys.executable, "-m", "perdure.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stderr[:2000]
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def test_every_command_reads_and_writes_large_values(project: Path, env: dict[str, str]) -> None:
    (project / "input.json").write_text(json.dumps({"value": "i" * SIZE}))
    folder = project / ".perdure"
    with dev(project, env) as said:
        assert any(f"payloads   {(folder / 'payloads').as_uri()}" in line for line in said), said
        waiting = 3
        perdure(
            project, env, "run", "big", "@input.json", "--thread", "t", "--no-input", "--json", code=waiting
        )
        assert perdure(project, env, "show", "t", "--json")["values"]["value"][:2] == [0, SIZE]
        perdure(project, env, "approve", "t")
        assert perdure(project, env, "attach", "t", "--json")["value"][3] == "approve"
    assert any((folder / "payloads").rglob("*"))
    assert (folder / "store.db").exists()


def test_what_is_in_memory_leaves_nothing_behind(project: Path, env: dict[str, str]) -> None:
    folder = project / ".perdure"
    with dev(project, env, "--in-memory"):
        perdure(project, env, "run", "big", '{"value": "small"}', "--no-input", "--json", code=3)
        assert any((folder / "payloads-in-memory").rglob("*"))
    assert not [path for path in folder.iterdir() if path.name.startswith(("payloads", "store"))]


def test_a_setting_that_is_none_is_one_line(project: Path, env: dict[str, str]) -> None:
    for name in ("PERDURE_PAYLOADS", "PERDURE_STORE"):
        command = [sys.executable, "-m", "perdure.cli", "worker", "--wait", "0"]
        wrong = {**env, name: "ftp://somewhere"}
        done = subprocess.run(command, cwd=project, env=wrong, capture_output=True, text=True)
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert line.startswith(f"error: {name} ")
