"""The demo's child processes.

Invariants: a child is in a session of its own, so that Ctrl-C reaches the demo alone, which then ends its children in
order; its standard input is a pipe from the demo, so that it ends even when the demo is killed.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

__all__ = ["Child", "DemoError"]

_T = TypeVar("_T")
_READY_SECONDS = 60
_GRACE_SECONDS = 3
_TAIL_LINES = 12


class DemoError(Exception):
    """The demo cannot go on, or did not show what it promises. `log` is the end of the log that tells more."""

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class Child:
    """A Python module in a process of its own that prints one JSON line when it is ready.

    Use it as an async context manager; it may be killed inside.
    """

    def __init__(self, name: str, module: str, *args: str, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = (sys.executable, "-m", module, *args)
        self._env = {**os.environ, **env}
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._env,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it: by closing its standard input, after some seconds by force."""
        process = self._running
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            await self.kill()

    @property
    def pid(self) -> int:
        return self._running.pid

    async def ready(self) -> dict[str, Any]:
        """What it said in its first line.

        Raises:
            DemoError: it ended instead, or said nothing for a minute.
        """
        assert self._running.stdout is not None
        try:
            async with asyncio.timeout(_READY_SECONDS):
                line = await self._running.stdout.readline()
        except TimeoutError as error:
            raise DemoError(
                f"{self.name} did not get ready in {_READY_SECONDS} s", log=self._tail()
            ) from error
        if not line:
            await self._running.wait()
            raise self._ended()
        return json.loads(line)

    async def during(self, work: Awaitable[_T]) -> _T:
        """Wait for `work`, which this process is needed for.

        Raises:
            DemoError: the process ended before the work did.
        """
        task, end = asyncio.ensure_future(work), asyncio.ensure_future(self._running.wait())
        try:
            await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return await task
            raise self._ended()
        finally:
            task.cancel()
            end.cancel()

    async def kill(self) -> None:
        """End it with SIGKILL, as a crash does, and wait until it is gone. It may be gone already."""
        if self._running.returncode is None:
            self._running.send_signal(signal.SIGKILL)
        await self._running.wait()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "enter the context first"
        return self._process

    def _ended(self) -> DemoError:
        lines = self._tail().splitlines()
        if len(lines) == 1:  # its own error, in one line
            return DemoError(lines[0])
        return DemoError(f"{self.name} ended with exit code {self._running.returncode}", log="\n".join(lines))

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])
