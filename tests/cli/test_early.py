"""The worker that `perdure dev` starts before its server: it works when it is told to, and never outlives its end."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest

from perdure.cli.early import EarlyWorker

pytestmark = pytest.mark.xdist_group("cli")


def below() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


async def test_it_is_taken_once_and_is_then_its_takers() -> None:
    async with EarlyWorker(wanted=True) as early:
        process = await early.take(["worker"], dict(os.environ))
        assert process is not None
        assert await early.take(["worker"], dict(os.environ)) is None
    assert process.returncode is None
    process.kill()
    assert await process.wait() == -signal.SIGKILL


async def test_nobody_who_takes_it_is_its_end() -> None:
    others = below()
    async with EarlyWorker(wanted=True):
        assert len(below() - others) == 1
    assert below() == others
    async with EarlyWorker(wanted=False) as early:
        assert below() == others
        assert await early.take(["worker"], {}) is None


async def test_one_that_has_died_is_seen_to_have() -> None:
    others = below()
    async with EarlyWorker(wanted=True) as early:
        [pid] = below() - others
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while below() != others:  # noqa: ASYNC110 - asyncio's own watcher reaps it
                await asyncio.sleep(0.01)
        # Its pipe may not have been seen to be closed yet.
        taken = await early.take(["worker"], dict(os.environ))
        assert taken is None or await taken.wait() == -signal.SIGKILL
