"""The commands around a run: to its result, through decisions, failures and cancellation, and what they say of it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.usefixtures("worker"), pytest.mark.xdist_group("cli")]

Cli = Any


def waiting(cli: Cli, graph: str, thread: str) -> None:
    run = cli("run", graph, '{"text": "hello"}', "--thread", thread)
    assert run.code == 3, run.err


def test_a_run_prints_its_steps_on_stderr_and_its_result_on_stdout(cli: Cli) -> None:
    run = cli("run", "plain", '{"text": "hello"}', "--thread", "plain-1")
    assert run.code == 0, run.err
    assert run.json() == {"text": "hello", "log": ["wrote hello"]}
    assert "thread plain-1" in run.err
    assert re.search(r"✓ flaky .* 2 attempts \(connection\) +ConnectionError: the model is away", run.err)


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_input_may_come_from_a_file_or_stdin(cli: Cli, tmp_path: Path, source: str) -> None:
    (tmp_path / "input.json").write_text('{"text": "from afar"}')
    given = f"@{tmp_path}/input.json" if source == "file" else "-"
    run = cli("run", "plain", given, "--json", input='{"text": "from afar"}' if source == "stdin" else "")
    assert run.json()["text"] == "from afar"


def test_without_a_terminal_a_question_ends_the_command_and_an_approval_ends_the_run(cli: Cli) -> None:
    run = cli("run", "asking", '{"text": "hello"}', "--thread", "ask-1")
    assert (run.code, run.out) == (3, "")
    assert "Send it?" in run.err
    assert "perdure approve ask-1 " in run.err
    [line] = [line for line in cli("list", "--status", "interrupted").out.splitlines() if "ask-1" in line]
    assert line.split()[1:4] == ["asking", "interrupted", "1"]

    approved = cli("approve", "ask-1")
    assert (approved.code, approved.err) == (0, "answered decide: approve\n")
    attached = cli("attach", "ask-1", "--json")
    assert (attached.code, attached.json()["log"]) == (0, ["decided approve"])
    again = cli("approve", "ask-1")
    assert (again.code, "nothing waits" in again.error) == (2, True)


def test_json_output_names_what_waits(cli: Cli) -> None:
    run = cli("run", "asking", '{"text": "hello"}', "--thread", "ask-json", "--json")
    assert run.code == 3
    [item] = run.json()["interrupts"]
    assert (item["node"], item["value"]["question"]) == ("decide", "Send it?")
    assert cli("reject", "ask-json", item["id"][:8]).code == 0
    assert cli("attach", "ask-json").json()["log"] == ["decided reject"]


def test_an_answer_may_be_anything(cli: Cli) -> None:
    waiting(cli, "asking", "ask-2")
    assert cli("approve", "ask-2", "--answer", '{"type": "edit", "draft": "bye"}').code == 0
    assert cli("attach", "ask-2").json()["log"] == ["decided {'type': 'edit', 'draft': 'bye'}"]


def test_with_several_waiting_an_id_is_needed(cli: Cli) -> None:
    waiting(cli, "parallel", "many-1")
    unclear = cli("approve", "many-1")
    assert unclear.code == 2
    assert unclear.err.splitlines()[-1] == "error: 2 interrupts wait in thread 'many-1': give the id of one"
    ids = dict(re.findall(r"\? (\w+) asks .*?(\w{32})", unclear.err))
    unknown = cli("approve", "many-1", "0" * 32)
    assert (unknown.code, "no interrupt" in unknown.error) == (2, True)
    assert cli("approve", "many-1", ids["wait"], "--answer", "yes").code == 0
    assert cli("reject", "many-1").code == 0
    assert sorted(cli("attach", "many-1").json()["log"]) == ["decided reject", "yes"]


def test_a_failed_run_exits_with_1_and_one_line_and_show_tells_the_story(cli: Cli) -> None:
    run = cli("run", "failing", '{"text": "hello"}', "--thread", "fail-1")
    assert (run.code, run.out) == (1, "")
    assert run.err.splitlines()[-1] == "error: node 'fail' failed: ValueError: no such customer"
    assert "Traceback" not in run.err
    shown = cli("show", "fail-1")
    assert shown.code == 0
    assert shown.out.splitlines()[0] == "fail-1 · failing · failed"
    assert re.search(r"✗ fail .* ValueError: no such customer", shown.out)


def test_show_as_json_has_values_steps_and_decisions(cli: Cli) -> None:
    waiting(cli, "asking", "show-1")
    cli("approve", "show-1")
    cli("attach", "show-1")
    told = cli("show", "show-1", "--json").json()
    assert set(told) == {"thread", "graph", "status", "problem", "values", "interrupts", "usage", "story"}
    assert (told["graph"], told["status"], told["interrupts"]) == ("asking", "completed", [])
    assert told["values"]["log"] == ["decided approve"]
    story = [entry.get("outcome") or entry["kind"] for entry in told["story"]]
    assert story == ["started", "asked", "answered", "done", "ended"]
    assert told["story"][2]["waited"] > 0


def test_cancel_ends_a_run(cli: Cli) -> None:
    waiting(cli, "asking", "cancel-1")
    assert cli("cancel", "cancel-1").code == 0
    attached = cli("attach", "cancel-1")
    assert (attached.code, attached.err.splitlines()[-1]) == (1, "error: the run was cancelled")
    again = cli("cancel", "cancel-1")
    assert (again.code, "has ended already (cancelled)" in again.error) == (2, True)
    assert "cancel-1" in cli("list", "--status", "cancelled").out


def test_a_run_may_have_a_deadline_and_a_budget(cli: Cli) -> None:
    refused = cli("run", "plain", '{"text": "hello"}', "--budget", '{"tokens": -1}')
    assert (refused.code, "must be a whole number above zero, not -1" in refused.error) == (2, True)
    limits = ["--deadline", "0.5", "--budget", '{"tokens": 5000, "wall_time_seconds": 60}']
    cli("run", "asking", '{"text": "hello"}', "--thread", "late-1", *limits)
    attached = cli("attach", "late-1")
    assert (attached.code, "did not end within 0:00:00.5" in attached.err) == (1, True)
    assert cli("show", "late-1", "--json").json()["usage"]["run"]["model_calls"] == 0


def test_a_kept_thread_goes_on_from_its_state(cli: Cli) -> None:
    waiting(cli, "asking", "kept-0")
    first = cli("run", "plain", '{"text": "one"}', "--thread", "kept-1", "--keep")
    second = cli("run", "plain", '{"text": "two"}', "--thread", "kept-1", "--keep")
    assert first.json()["log"] == ["wrote one"]
    assert second.json()["log"] == ["wrote one", "wrote two"]
    assert second.err.count("✓ flaky") == 1
    assert cli("list", "--status", "idle", "--json").json()[0]["thread_id"] == "kept-1"


def test_a_busy_thread_takes_no_second_run(cli: Cli) -> None:
    waiting(cli, "asking", "busy-1")
    second = cli("run", "asking", '{"text": "x"}', "--thread", "busy-1")
    assert (second.code, "'busy-1' has a run already" in second.error) == (2, True)


def test_setup_registers_search_attributes_and_the_doctor_is_content(cli: Cli) -> None:
    before = cli("doctor")
    assert (before.code, "! search attributes" in before.out, "fix: perdure setup" in before.out) == (
        0,
        True,
        True,
    )
    assert "registered PerdureAsked, PerdureGraph" in cli("setup").err
    assert "registered already" in cli("setup").err
    after = cli("doctor", "--json")
    assert after.code == 0, after.out
    assert {finding["level"] for finding in after.json()} == {"ok"}
    assert {"graph plain", "workers", "stuck threads"} <= {finding["check"] for finding in after.json()}
    waiting(cli, "asking", "searched-1")
    listed = cli("list", "--status", "interrupted", "--graph", "asking", "--json").json()
    assert [(thread["thread_id"], thread["pending"]) for thread in listed] == [("searched-1", 1)]


def test_detach_prints_the_thread_and_returns(cli: Cli) -> None:
    run = cli("run", "plain", '{"text": "x"}', "--detach", "--thread", "away-1")
    assert (run.code, run.out) == (0, "away-1\n")
    assert cli("attach", "away-1").code == 0


def test_at_a_terminal_the_question_is_put_and_answered(cli: Cli) -> None:
    command = [sys.executable, "-m", "perdure.cli", "run", "asking", '{"text": "hello"}', "--thread", "tty-1"]
    child, screen = _at_terminal(command, cli)
    _until(screen, "approve · edit · reject › ")
    os.write(screen, b"sure\n")
    _until(screen, "one of approve, edit, reject, or JSON")
    os.write(screen, b"edit\n")
    _until(screen, "the new draft")
    os.write(screen, b"bye\n.\n")
    _until(screen, "decided {'type': 'edit', 'draft': 'bye'}")
    assert child.wait(timeout=20) == 0
    os.close(screen)


def test_ctrl_c_leaves_the_run_alive(cli: Cli) -> None:
    command = [sys.executable, "-m", "perdure.cli", "run", "asking", '{"text": "hello"}', "--thread", "tty-2"]
    child, screen = _at_terminal(command, cli)
    _until(screen, "approve · edit · reject › ")
    child.send_signal(signal.SIGINT)
    _until(screen, "the run goes on: perdure attach tty-2")
    assert child.wait(timeout=20) == 130
    os.close(screen)
    assert cli("approve", "tty-2").code == 0


def test_a_decision_made_elsewhere_ends_the_question(cli: Cli) -> None:
    command = [sys.executable, "-m", "perdure.cli", "run", "asking", '{"text": "hello"}', "--thread", "tty-3"]
    child, screen = _at_terminal(command, cli)
    _until(screen, "approve · edit · reject › ")
    assert cli("approve", "tty-3").code == 0
    _until(screen, "decided approve")
    assert child.wait(timeout=20) == 0
    os.close(screen)


def _at_terminal(command: list[str], cli: Cli) -> tuple[subprocess.Popen[bytes], int]:
    screen, terminal = pty.openpty()
    env = {key: value for key, value in cli.env.items() if key not in ("EDITOR", "VISUAL")} | {
        "TERM": "xterm"
    }
    child = subprocess.Popen(
        command, cwd=cli.folder, env=env, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    return child, screen


def _until(screen: int, text: str) -> None:
    """Read what the terminal shows until `text` is there, whatever colours it has."""
    shown = ""
    deadline = time.monotonic() + 30
    while text not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown):
        assert time.monotonic() < deadline, shown
        if select.select([screen], [], [], 1)[0]:
            shown += os.read(screen, 65536).decode(errors="replace")


def test_results_are_valid_json_when_piped(cli: Cli) -> None:
    assert json.loads(cli("run", "plain", '{"text": "ünï"}').out)["text"] == "ünï"


def test_history_lists_the_checkpoints_of_a_thread(cli: Cli) -> None:
    waiting(cli, "asking", "history-1")
    listed = cli("history", "history-1")
    assert listed.code == 0, listed.err
    assert [line.split()[0] for line in listed.out.splitlines()] == ["step", "0", "-1"]
    assert "decide" in listed.out
    newest, oldest = cli("history", "history-1", "--json").json()
    assert (newest["next"], newest["values"]) == (["decide"], {"text": "hello", "log": []})
    assert oldest["source"] == "input"
    assert cli("history", "nobody").error.startswith("no thread 'nobody'")


def test_retry_starts_a_failed_thread_again(cli: Cli) -> None:
    assert cli("run", "failing", '{"text": "hello"}', "--thread", "retry-1").code == 1
    again = cli("retry", "retry-1")
    assert (again.code, again.err) == (
        0,
        "retry-1 goes on from its last finished step; `perdure attach retry-1` follows it\n",
    )
    assert cli("attach", "retry-1").code == 1
    assert "nothing to start again" in _open_thread(cli)


def _open_thread(cli: Cli) -> str:
    waiting(cli, "asking", "retry-2")
    return cli("retry", "retry-2").error
