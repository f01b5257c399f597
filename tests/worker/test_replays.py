"""Whose turn it is, where some threads are replayed and others are in memory."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.worker import UnsandboxedWorkflowRunner

from perdure.worker import replays
from perdure.worker.replays import ReplaysFirst

LONG = 30.0
SHORT = 0.05


def _activation(run: str, *, replaying: bool, job: str = "resolve_activity") -> WorkflowActivation:
    act = WorkflowActivation(run_id=run, is_replaying=replaying)
    getattr(act.jobs.add(), job).SetInParent()
    return act


class Turns:
    """A runner, and what came through it, in order."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self._activate = ReplaysFirst(UnsandboxedWorkflowRunner()).around("t", self._came)

    def _came(self, act: Any) -> None:
        self.came.append(act.run_id)

    def comes(self, run: str, *, replaying: bool = False, **more: Any) -> None:
        self._activate(_activation(run, replaying=replaying, **more))

    def comes_beside(self, run: str) -> threading.Thread:
        thread = threading.Thread(target=self.comes, args=(run,))
        thread.start()
        return thread


@pytest.fixture
def turns() -> Turns:
    return Turns()


def test_a_thread_in_memory_waits_for_the_end_of_a_replay(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "_MOST_SECONDS", LONG)
    turns.comes("cold", replaying=True)
    warm = turns.comes_beside("warm")
    turns.comes("cold", replaying=True)
    time.sleep(0.1)
    turns.comes("cold")  # what is new to it
    warm.join(LONG / 2)
    assert turns.came == ["cold", "cold", "cold", "warm"]


def test_but_not_for_long(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "_MOST_SECONDS", SHORT)
    turns.comes("cold", replaying=True)
    turns.comes("warm")
    assert turns.came == ["cold", "warm"]


@pytest.mark.parametrize("job", ["query_workflow", "remove_from_cache"])
def test_a_replay_for_a_question_and_one_that_is_given_up_end(
    turns: Turns, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    monkeypatch.setattr(replays, "_MOST_SECONDS", LONG)
    turns.comes("cold", replaying=True)
    turns.comes("cold", replaying=True, job=job)
    beside = turns.comes_beside("warm")
    beside.join(LONG / 2)
    assert turns.came == ["cold", "cold", "warm"]


def test_what_is_put_out_of_memory_does_not_wait(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "_MOST_SECONDS", LONG)
    turns.comes("cold", replaying=True)
    beside = threading.Thread(target=turns.comes, args=("warm",), kwargs={"job": "remove_from_cache"})
    beside.start()
    beside.join(LONG / 2)
    assert turns.came == ["cold", "warm"]


def test_nobody_waits_for_a_replay_that_comes_too_late(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "_MOST_SECONDS", LONG)
    turns.comes("cold", replaying=True)
    passed = time.monotonic() + replays.TASK_TIMEOUT.total_seconds()
    monkeypatch.setattr(replays.time, "monotonic", lambda: passed)
    turns._activate(_activation("warm", replaying=False))
    assert turns.came == ["cold", "warm"]
