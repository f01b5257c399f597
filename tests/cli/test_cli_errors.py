"""What goes wrong before a run is said in one line on stderr, with exit code 2 and the way out."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("cli")

Cli = Any
WriteProject = Callable[..., Path]


@pytest.fixture
def nowhere() -> str:
    """An address at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_a_graph_that_the_project_does_not_have(cli: Cli) -> None:
    run = cli("run", "other", "{}")
    assert run.code == 2
    assert re.match(r"no graph 'other' in .*; it has: asking, failing, parallel, plain", run.error)


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ("import nothing_like_this", "graph 'g' cannot be loaded: agent.py:1: ModuleNotFoundError"),
        ("graph = 3", "graph 'g': 'graph' of './agent.py' is an object of type int"),
        ("other = 3", "graph 'g': './agent.py' has no 'graph'; it defines no graph"),
    ],
)
def test_a_graph_that_cannot_be_loaded(
    cli: Cli, tmp_path: Path, write_project: WriteProject, agent: str, says: str
) -> None:
    folder = write_project(tmp_path, {"g": "./agent.py:graph"}, agent)
    run = cli("run", "g", "{}", cwd=folder)
    assert (run.code, says in run.error) == (2, True)
    doctor = cli("doctor", cwd=folder)
    assert (doctor.code, f"✗ graph g             {says}" in doctor.out) == (1, True)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (
            "opnai:gpt-5",
            "graph 'g' cannot be loaded: agent.py:2: ValueError: Unable to infer model provider for",
        ),
        ("openai:gpt-4.1", "graph 'g' cannot be loaded: agent.py:2: OpenAIError: Missing credentials"),
        ("anthropic:claude-sonnet-5", "node 'model': ChatAnthropic has no API key"),
    ],
)
def test_the_doctor_knows_models_that_cannot_work(
    cli: Cli,
    tmp_path: Path,
    write_project: WriteProject,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    says: str,
) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    agent = f"from langchain.agents import create_agent\ngraph = create_agent({model!r}, [])\n"
    doctor = cli("doctor", cwd=write_project(tmp_path, {"g": "./agent.py:graph"}, agent))
    assert (doctor.code, f"✗ graph g             {says}" in doctor.out) == (1, True), doctor.out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{text: 1}", "the input is not valid JSON: line 1, column 2"),
        ('{"tekst": "hello"}', "graph 'plain' has no input field 'tekst'; its fields: text"),
        ('{"text": 3}', "the input does not fit graph 'plain': text: Input should be a valid string"),
        ("@missing.json", "the input file 'missing.json' cannot be read"),
    ],
)
def test_an_input_that_does_not_fit(cli: Cli, given: str, says: str) -> None:
    run = cli("run", "plain", given)
    assert (run.code, says in run.error) == (2, True), run.err


def test_a_broken_langgraph_json(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "langgraph.json").write_text('{"graphs": {')
    run = cli("run", "plain", "{}", cwd=tmp_path)
    assert (run.code, "langgraph.json:1:13: not valid JSON" in run.error) == (2, True), run.err


def test_no_project_at_all(cli: Cli, tmp_path: Path) -> None:
    assert "no langgraph.json in" in cli("worker", cwd=tmp_path).error
    assert "no langgraph.json at" in cli("list", "--config", str(tmp_path / "x.json")).error


@pytest.mark.parametrize(
    "command", [("run", "plain", '{"text": "x"}'), ("list",), ("approve", "t"), ("setup",)]
)
def test_a_server_that_does_not_answer(cli: Cli, nowhere: str, command: tuple[str, ...]) -> None:
    done = cli(*command, "--address", nowhere)
    assert done.code == 2
    assert f"no Temporal server answers at '{nowhere}': start one (`perdure dev`)" in done.error


def test_a_task_queue_without_a_worker(cli: Cli) -> None:
    arguments = ("run", "plain", '{"text": "x"}', "--task-queue", "empty")
    run = cli(*arguments)
    assert (run.code, "no worker polls task queue 'empty'" in run.error) == (2, True)
    detached = cli(*arguments, "--detach", "--thread", "unattended")
    assert (detached.code, detached.out) == (0, "unattended\n")
    assert "no worker polls task queue 'empty'" in detached.err
    doctor = cli("doctor", "--task-queue", "empty")
    assert doctor.code == 1
    assert "✗ workers             none for threads and node calls on task queue 'empty'" in doctor.out


@pytest.mark.parametrize("command", ["show", "approve", "reject", "cancel"])
def test_an_unknown_thread(cli: Cli, command: str) -> None:
    done = cli(command, "nobody")
    assert (done.code, "no thread 'nobody' in this namespace" in done.error) == (2, True), done.err


def test_an_unknown_namespace(cli: Cli) -> None:
    done = cli("list", "--namespace", "elsewhere")
    assert (done.code, "elsewhere" in done.error) == (2, True), done.err


def test_an_unknown_status(cli: Cli) -> None:
    assert "--status 'odd' is none of idle, running" in cli("list", "--status", "odd").error


def test_debug_shows_where(cli: Cli) -> None:
    run = cli("run", "other", "{}", "--debug")
    assert run.code == 2
    assert "Traceback" in run.err
    assert run.err.splitlines()[-1].startswith("error: no graph 'other'")


def test_usage_errors_exit_with_2(cli: Cli) -> None:
    done = cli("approve")
    assert (done.code, "Missing argument" in done.err) == (2, True)


def test_the_module_and_its_version_can_be_asked_directly() -> None:
    command = [sys.executable, "-m", "perdure.cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"perdure {version('perdure')}\n"


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, perdure.cli.app; print([m for m in ('temporalio', 'langgraph', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
