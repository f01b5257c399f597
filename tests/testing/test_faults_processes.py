"""Real processes die, from Python and from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from perdure.testing.faults import Ending, Violation, explore_processes

pytestmark = pytest.mark.xdist_group("crashes")

AGENT = """
    import os
    from pathlib import Path
    from typing import TypedDict

    from langgraph.graph import START, StateGraph

    from perdure import current_effect, effect


    class State(TypedDict):
        done: str


    def note(line: str) -> None:
        with Path(os.environ["CHAOS_BOOKS"]).open("a") as file:
            file.write(line + "\\n")


    @effect(undo=lambda key: note(f"undo {key}"))
    def charge(amount: int) -> str:
        note(f"charge {current_effect().key} {os.getpid()}")
        return f"charged {amount}"


    def pay(state: State) -> State:
        return {"done": charge(5)}


    graph = StateGraph(State).add_node(pay).add_edge(START, "pay").compile()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "agent.py").write_text(textwrap.dedent(AGENT))
    (folder / "langgraph.json").write_text('{"graphs": {"shop": "./agent.py:graph"}, "dependencies": ["."]}')
    return folder


async def test_a_worker_killed_after_the_call_makes_it_again_under_its_key(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = tmp_path / "books"
    monkeypatch.setenv("CHAOS_BOOKS", str(books))
    entries: list[list[list[str]]] = []

    @asynccontextmanager
    async def world() -> AsyncGenerator[Path]:
        books.write_text("")
        yield books

    def audit(books: Path, ending: Ending) -> Iterator[Violation]:
        entries.append([line.split() for line in books.read_text().splitlines()])
        if len({key for _, key, _ in entries[-1]}) != 1:
            yield Violation("doubled", f"the books say {entries[-1]}")

    report = await explore_processes(
        project,
        "shop",
        {"done": ""},
        world=world,
        oracle=audit,
        points=["kill-after@effect:charge:1"],
        limit=timedelta(seconds=90),
    )
    report.assert_ok()
    [first, again] = entries[-1]
    assert first[1] == again[1]
    assert first[2] != again[2]
    assert (report.performed, report.points, report.tried[-1].repeated) == (1, 8, 1)


def test_the_command_prints_the_table_and_fails_when_something_is_wrong(
    project: Path, tmp_path: Path
) -> None:
    def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "perdure.cli", "chaos", "shop", '{"done": ""}', *arguments],
            cwd=project,
            env={**os.environ, "CHAOS_BOOKS": str(tmp_path / "books"), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    good = chaos("--points", "2", "--seed", "3", "--junit", str(tmp_path / "chaos.xml"))
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("shop: 1 effects undisturbed, ")
    assert "seed 3" in good.stdout
    assert ElementTree.parse(tmp_path / "chaos.xml").getroot().get("failures") == "0"
    refused = chaos("--plan", "explode@node:pay:1")
    assert (refused.returncode, "write KIND@PLACE" in refused.stderr) == (2, True)
