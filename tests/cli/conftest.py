"""The real command line, in a real project, against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from perdure.devserver import DevServer

AGENT = """
    import operator
    from typing import Annotated

    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt
    from typing_extensions import TypedDict

    class Request(TypedDict):
        text: str

    class State(Request):
        log: Annotated[list[str], operator.add]

    tries = []

    def flaky(state: State):
        tries.append(1)
        if len(tries) < 2:
            raise ConnectionError("the model is away")
        return {"log": [f"wrote {state['text']}"]}

    def decide(state: State):
        question = {"question": "Send it?", "draft": state["text"], "options": ["approve", "edit", "reject"]}
        return {"log": [f"decided {interrupt(question)}"]}

    def two(state: State):
        return {"log": [interrupt("first?"), interrupt("second?")]}

    def wait(state: State):
        return {"log": [str(interrupt("plain?"))]}

    def fail(state: State):
        raise ValueError("no such customer")

    def graph_of(*nodes):
        builder = StateGraph(State, input_schema=Request)
        for node in nodes:
            builder.add_node(node)
            builder.add_edge(START, node.__name__)
        return builder.compile()

    plain = graph_of(flaky)
    asking = graph_of(decide)
    parallel = graph_of(decide, wait)
    failing = graph_of(fail)
"""


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of an error; whatever else there is fails the test."""
        assert "Traceback" not in self.err
        assert self.out == ""
        [line] = self.err.splitlines()
        return line.removeprefix("error: ")

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """Runs `perdure`; see `command_server`."""

    server: subprocess.Popen[str]
    folder: Path
    env: dict[str, str]
    scratch: Path

    def __call__(
        self,
        *arguments: str,
        input: str = "",
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> Finished:
        files = {name: self.scratch / name for name in ("stdin", "stdout", "stderr")}
        for file in files.values():
            file.write_text("")
        files["stdin"].write_text(input)
        place = {"cwd": str(cwd or self.folder), "env": self.env | (env or {})}
        request = {"argv": arguments, **place, **{name: str(file) for name, file in files.items()}}
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        code = int(self.server.stdout.readline())
        return Finished(code, files["stdout"].read_text(), files["stderr"].read_text())


def clean_env(**extra: str) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TEMPORAL_", "PERDURE_"))}
    # Nobody's own configuration file.
    return {**env, "TEMPORAL_CONFIG_FILE": "/dev/null", "NO_COLOR": "1", "COLUMNS": "100", **extra}


def write_project(folder: Path, graphs: dict[str, str] | None = None, agent: str = AGENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agent.py").write_text(textwrap.dedent(agent))
    names = ("plain", "asking", "parallel", "failing")
    graphs = graphs or {name: f"./agent.py:{name}" for name in names}
    (folder / "langgraph.json").write_text(json.dumps({"graphs": graphs, "dependencies": ["."]}))
    return folder


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server without Perdure's search attributes."""
    folder = tmp_path_factory.mktemp("server")
    server = DevServer(directory=folder, port=None, ui_port=None, http_port=None, in_memory=True)
    asyncio.run(server.start())
    yield server.address
    asyncio.run(server.stop())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def worker(project: Path, address: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "perdure.cli", "worker", "--address", address],
        cwd=project,
        env=clean_env(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "worker ready: asking, failing, parallel, plain" in process.stderr.readline()
    yield
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def command_server() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(Path(__file__).with_name("command_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield server


@pytest.fixture(scope="module")
def cli(
    command_server: subprocess.Popen[str],
    project: Path,
    address: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> CommandLine:
    env = clean_env(TEMPORAL_ADDRESS=address)
    return CommandLine(command_server, project, env, tmp_path_factory.mktemp("command"))


@pytest.fixture(name="write_project")
def write_project_fixture() -> Callable[..., Path]:
    return write_project


@pytest.fixture
def env() -> dict[str, str]:
    """An environment that says nothing of Temporal."""
    return clean_env()
