"""Recorded histories replay on this code, also in another process and under other hash seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COUNT = len(list((HERE / "histories").glob("*.json")))


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_kept_histories_replay_in_another_process(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "recorded.py"), "--replay"],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) == COUNT > 2


def test_a_changed_graph_is_noticed() -> None:
    code = f"""
import asyncio, sys
sys.path.insert(0, {str(HERE)!r})
import recorded
from temporalio.workflow import NondeterminismError
from perdure.testing.histories import replay
swapped = {{**recorded.GRAPHS, "chat": recorded.GRAPHS["fan_out"]}}
try:
    asyncio.run(replay((recorded.HISTORIES / "chat-1.json").read_text(), swapped, thread_id="chat"))
except NondeterminismError as error:
    print("noticed")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["noticed"], done.stderr[-3000:]


def test_a_fresh_history_replays_in_another_process(tmp_path: Path) -> None:
    code = (
        f"import sys, asyncio, pathlib; sys.path.insert(0, {str(HERE)!r}); import recorded; "
        f"asyncio.run(recorded.{{}}(pathlib.Path({str(tmp_path)!r}))); print('done', flush=True)"
    )
    for what, seed in (("record", "7"), ("replay_all", "8")):
        done = subprocess.run(
            [sys.executable, "-c", code.format(what)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        # Not its exit code: on a busy machine a process can abort when it is all over, in a thread of Temporal's core.
        assert done.stdout.endswith("done\n"), done.stderr[-3000:]
    assert len(list(tmp_path.glob("*.json"))) == COUNT
