"""`python -m support.demo` as a newcomer runs it: real processes, and nothing left of them afterwards."""

import json
import mailbox
import os
import pty
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from temporalio.client import Client

from perdure.devserver import DevServer
from support.demo.steps import Step
from support.demo.summary import Summary
from support.messages import DUPLICATE_CHARGE

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = (sys.executable, "-m", "support.demo")

pytestmark = pytest.mark.xdist_group("demo")


class Newcomer:
    """An empty home, an empty folder, and a mark on every process that comes out of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        home = folder / "home"
        home.mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.env = {**kept, "HOME": str(home), "PYTHONPATH": str(EXAMPLES), "PERDURE_DEMO_MARK": self.mark}

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *args],
            cwd=self.folder, env={**self.env, **env}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=90,
        )  # fmt: skip

    def start(self, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(COMMAND, cwd=self.folder, env=self.env, text=True, **options)

    def left(self) -> list[str]:
        """The processes that still run."""
        found: list[str] = []
        for process in psutil.process_iter(["environ", "cmdline", "status"]):
            environ = process.info["environ"] or {}
            if (
                environ.get("PERDURE_DEMO_MARK") == self.mark
                and process.info["status"] != psutil.STATUS_ZOMBIE
            ):
                found.append(" ".join(process.info["cmdline"]))
        return found


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path)
    yield newcomer
    assert newcomer.left() == []


def summary_of(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def tickets(folder: Path) -> int:
    database = sqlite3.connect(folder / ".perdure/demo/support/tickets.sqlite")
    try:
        return database.execute("SELECT count(*) FROM ticket").fetchone()[0]
    finally:
        database.close()


async def test_the_run_survives_its_worker_and_so_do_further_demos(newcomer: Newcomer) -> None:
    folder = newcomer.folder
    interrupt(newcomer, at="kill -9")  # leaves a step behind that no other demo may take up
    run = newcomer.run("--json")
    summary = summary_of(run)
    assert run.stderr == ""
    assert "\x1b" not in run.stdout
    assert max(map(len, run.stdout.splitlines()[:-1])) <= 100
    assert newcomer.left() == []
    [mail] = mailbox.Maildir(folder / ".perdure/demo/support/mail", create=False)
    assert mail["To"] == DUPLICATE_CHARGE.customer_email
    assert tickets(folder) == 0
    assert (summary["result"], summary["mails"], summary["tickets"]) == ("sent", 1, 0)
    assert (summary["kept"], summary["model_calls"]) == (2, 2)
    assert summary["resumed_seconds"] <= 10
    assert await history(folder, summary["thread"]) == [
        ("search", 1, summary["killed_pid"]),
        ("classify", 1, summary["killed_pid"]),
        *[(node, 1, summary["steps"][-1]["pid"]) for node in ("draft", "decide", "decide", "send")],
    ]

    with ExitStack() as stack:
        for port in (7233, 8233, 7243):
            stack.enter_context(occupied(port))
        assert person_rejects(newcomer) == 0
    assert len(mailbox.Maildir(folder / ".perdure/demo/support/mail", create=False)) == 0
    assert tickets(folder) == 0


def person_rejects(newcomer: Newcomer) -> int:
    """A demo on a terminal; its exit code."""
    leader, follower = pty.openpty()
    with newcomer.start(stdin=follower, stdout=follower, stderr=follower, start_new_session=True) as demo:
        os.close(follower)
        read_until(leader, b"eject?")
        os.write(leader, b"what?\nr\n")
        read_until(leader, b"README.md")
        drain(leader)
    os.close(leader)
    return demo.wait()


async def history(folder: Path, thread: str) -> list[tuple[str, int, int]]:
    """Node, attempt and worker of each completed step, from the database that the demo left."""
    server = DevServer(directory=folder / ".perdure/demo", port=None, ui_port=None, http_port=None)
    async with server:
        client = await Client.connect(server.address)
        events = [event async for event in client.get_workflow_handle(thread).fetch_history_events()]
    by_id = {event.event_id: event for event in events}
    steps: list[tuple[str, int, int]] = []
    for event in events:
        if event.HasField("activity_task_completed_event_attributes"):
            completed = event.activity_task_completed_event_attributes
            scheduled = by_id[completed.scheduled_event_id].activity_task_scheduled_event_attributes
            started = by_id[completed.started_event_id].activity_task_started_event_attributes
            node = scheduled.activity_id.partition(":")[0]
            steps.append((node, started.attempt, int(started.identity.partition("@")[0])))
    return steps


def occupied(port: int) -> socket.socket:
    """The port, taken by this process unless somebody has it already."""
    busy = socket.socket()
    try:
        busy.bind(("127.0.0.1", port))
        busy.listen()
    except OSError:
        pass
    return busy


@pytest.mark.parametrize("moment", ["Perdure", "Services"])
def test_an_interrupt_leaves_nothing_running(newcomer: Newcomer, moment: str) -> None:
    interrupt(newcomer, at=moment)


def interrupt(newcomer: Newcomer, *, at: str) -> None:
    """Start a demo and interrupt it when it says `at`."""
    with newcomer.start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        seen = ""
        for line in demo.stdout:
            seen += line
            if at in line:
                break
        else:
            errors = demo.communicate()[1]
            raise AssertionError(f"{at!r} never came, exit {demo.returncode}: {seen}{errors}")
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert errors.strip() == "interrupted; nothing is left running"


def test_ctrl_c_at_the_question_leaves_nothing_running(newcomer: Newcomer) -> None:
    leader, follower = pty.openpty()
    with newcomer.start(stdin=follower, stdout=follower, stderr=follower, start_new_session=True) as demo:
        os.close(follower)
        read_until(leader, b"eject?")
        # The terminal's own Ctrl-C reaches the foreground group; the demo is its only member.
        os.killpg(demo.pid, signal.SIGINT)
        read_until(leader, b"nothing is left running")
        assert demo.wait(timeout=30) == 130
    os.close(leader)


def read_until(terminal: int, text: bytes) -> None:
    seen = b""
    deadline = time.monotonic() + 60
    while text not in seen:
        assert time.monotonic() < deadline, seen.decode(errors="replace")
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 65536)


def drain(terminal: int) -> None:
    """Read what comes until the other side closes; a terminal that is not read stops its writer."""
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass


def test_a_model_that_cannot_work_is_said_in_one_line(newcomer: Newcomer) -> None:
    run = newcomer.run(PERDURE_MODEL="openai:gpt-x")
    assert run.returncode == 1
    assert run.stderr.startswith("error: PERDURE_MODEL is 'openai:gpt-x', but OPENAI_API_KEY is not set")
    assert len(run.stderr.splitlines()) == 1


def told() -> Summary:
    steps = [Step(node, attempts=1, pid=1) for node in ("search", "classify")]
    steps += [Step(node, attempts=1, pid=2) for node in ("draft", "decide", "decide", "send")]
    return Summary(
        thread="t", result="sent", steps=steps, kept=2, killed_pid=1, asks=1,
        mails=1, tickets=0, resumed_seconds=2.0, seconds=9.0,
    )  # fmt: skip


def test_a_demo_that_kept_its_promises_has_no_problems() -> None:
    assert told().problems == []
    assert told().model_calls == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"mails": 2}, "2 mails and 0 tickets"),
        ({"mails": 0}, "0 mails"),
        ({"tickets": 1}, "1 tickets"),
        ({"result": "lost"}, "the result is 'lost'"),
        ({"resumed_seconds": 10.5}, "10.5 s after the kill"),
        ({"steps": [*told().steps, Step("send", attempts=1, pid=2)]}, "'send' was run 2 times"),
        ({"steps": [*told().steps, Step("classify", attempts=1, pid=2)]}, "'classify' was run 2 times"),
        ({"steps": [Step("search", attempts=1, pid=2), *told().steps[1:]]}, "'search' was finished before"),
        ({"steps": [*told().steps[:-1], Step("send", attempts=1, pid=1)]}, "'send' ran in the killed worker"),
    ],
)
def test_a_broken_promise_is_found(change: dict[str, Any], problem: str) -> None:
    [found] = replace(told(), **change).problems
    assert problem in found
