"""The demo's course: start everything, run the agent, kill its worker between two steps, start a new one, count.

Everything that it starts ends with it, in whatever way it ends itself.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from perdure.client import RunHandle, connect
from perdure.contract.names import SEARCH_ATTRIBUTES
from perdure.devserver import DevServer
from support.contract import SupportInput
from support.demo.child import Child, DemoError
from support.demo.screen import Screen
from support.demo.steps import Steps
from support.demo.summary import Summary

__all__ = ["Story"]

# `search` and `classify`: the worker is killed when they are done and the third step waits for it.
_STEPS_BEFORE_CRASH = 2
# A real model may take its time, and is asked again when it is overloaded.
_PATIENCE = timedelta(minutes=3)


@dataclass
class Story:
    """One demo. `directory` keeps Temporal's database, the mails, the tickets and the logs."""

    screen: Screen
    request: SupportInput
    directory: Path
    ask: bool
    keep: bool
    _tickets_url: str = ""
    _env: dict[str, str] = field(default_factory=dict[str, str])
    _waited: float = 0.0

    async def tell(self) -> Summary:
        """Run it from start to end; nothing is left running.

        Raises:
            DemoError, PerdureError: it could not be told to its end.
        """
        started = time.monotonic()
        async with AsyncExitStack() as stack:
            server = await self._start_server(stack)
            await self._start_services(stack)
            async with self._worker(1, server.address, "--steps", str(_STEPS_BEFORE_CRASH)) as worker:
                self.screen.request(self.request)
                run, steps = await self._start_run(stack, server)
                await self._crash(worker, steps)
            killed_at = datetime.now(UTC)
            kept = len(steps.finished)
            async with self._worker(2, server.address) as second:
                self.screen.kept(steps.finished)
                resumed = await self._resume(second, steps, killed_at)
                values = await self._finish(second, run, steps)
                summary = Summary(
                    thread=run.thread_id,
                    result=values["result"],
                    steps=steps.all,
                    kept=kept,
                    killed_pid=worker.pid,
                    asks=values["asks"],
                    mails=len(list((self._data / "mail" / "new").iterdir())),
                    tickets=await self._count_tickets(),
                    resumed_seconds=round(resumed, 2),
                    seconds=round(time.monotonic() - started - self._waited, 2),
                )
                self.screen.summary(summary)
                self.screen.closing(str(self._data / "mail" / "new"), server.ui_url if self.keep else None)
                if self.keep:
                    await self.screen.enter("Everything keeps running. Press Enter to end it.")
            stack.push_async_callback(self._say_goodbye)
        return summary
