"""The first worker of `perdure dev`: a process that loads its modules while the server starts, and is told its command line
then. Side: cli. Light at its top, as `perdure.cli.app`.

Invariant: it works only when it is told to; its standard input that ends before, or the end of `EarlyWorker`, ends it.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

__all__ = ["EarlyWorker", "spawn"]


async def spawn(*arguments: str, environment: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
    """A Python process that is tied to this one by its standard input."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        # A Ctrl-C at the terminal is for this process, which stops the worker first and the server then.
        start_new_session=True,
    )


class EarlyWorker:
    """To be used in `async with`."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        if self._wanted:
            # "worker" is for who reads a list of processes.
            self._process = await spawn("-m", "perdure.cli.early", "worker")
        return self

    async def __aexit__(self, *_: object) -> None:
        if (process := self._process) is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def take(
        self, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> asyncio.subprocess.Process | None:
        """The process, which is now `perdure` with these arguments; `None` when it was taken before, or has died."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return None
        told: dict[str, Any] = {"arguments": list(arguments), "environment": dict(environment)}
        try:
            process.stdin.write(json.dumps(told).encode() + b"\n")
            await process.stdin.drain()
        except ConnectionError:
            await process.wait()
            return None
        return process


def _main() -> None:
    from perdure.cli import http, main

    for module in ("perdure.cli.worker", *(["perdure.server.app"] if http.installed() else [])):
        importlib.import_module(module)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    told = json.loads(line)
    os.environ.update(told["environment"])
    sys.argv[1:] = told["arguments"]
    main()


if __name__ == "__main__":
    _main()
