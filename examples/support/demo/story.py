"""The demo's course: start everything, run the agent, kill its worker between two steps, start a new one, count.

Everything that it starts ends with it, in whatever way it ends itself.
"""

import shutil
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
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

# `search` and `classify`: the worker is killed when they are done and the third step waits to be taken up.
_STEPS_BEFORE_CRASH = 2
_PATIENCE = timedelta(seconds=30)


class Story:
    """One demo.

    Args:
        directory: for Temporal's database, the mails, the tickets and the logs.
        ask: whether a person decides on the draft; else the demo approves it.
        keep: whether to leave everything running at the end until told otherwise.
    """

    def __init__(
        self, screen: Screen, request: SupportInput, directory: Path, *, ask: bool, keep: bool
    ) -> None:
        self._screen = screen
        self._request = request
        self._directory = directory
        self._data = directory / "support"
        self._ask = ask
        self._keep = keep
        # The steps of a demo that was interrupted wait in the database: they are not for these workers.
        self._task_queue = f"demo-{uuid.uuid4().hex[:8]}"
        self._waited = 0.0

    async def tell(self) -> Summary:
        """Tell it from start to end; nothing is left running.

        Raises:
            DemoError, PerdureError: it could not be told to its end.
        """
        began = time.monotonic()
        self._screen.title()
        async with AsyncExitStack() as stack:
            server = await self._start_server(stack)
            services = await self._start_services(stack)
            client = await connect(server.address, namespace="default", task_queue=self._task_queue)
            async with self._worker(1, server, services["env"]) as first:
                self._screen.request(self._request)
                run = await client.start("support", asdict(self._request))
                self._screen.run_started(run.thread_id, server.ui_url)
                steps = Steps(client.temporal, run.thread_id, on_finished=self._screen.step)
                killed_at = await self._crash(first, run, steps)
            kept = len(steps.finished)
            async with self._worker(2, server, services["env"]) as second:
                self._screen.kept(steps.finished)
                values = await second.during(self._finish(run, steps, killed_at))
                summary = Summary(
                    thread=run.thread_id,
                    result=values["result"],
                    steps=steps.all,
                    kept=kept,
                    killed_pid=first.pid,
                    asks=values["asks"],
                    mails=len(list(self._mails.iterdir())),
                    tickets=await _count_tickets(services["tickets_url"]),
                    resumed_seconds=_seconds_from(killed_at, steps),
                    seconds=time.monotonic() - began - self._waited,
                )
                await self._close(summary, server)
        return summary

    @property
    def _mails(self) -> Path:
        return self._data / "mail" / "new"

    async def _start_server(self, stack: AsyncExitStack) -> DevServer:
        server = DevServer(directory=self._directory, search_attributes=SEARCH_ATTRIBUTES)
        stack.push_async_callback(self._stop, server)
        with self._screen.busy("starting Temporal"):
            await server.start()
        self._screen.up("Temporal", f"{server.address}, Web UI {server.ui_url}")
        return server

    async def _stop(self, server: DevServer) -> None:
        with self._screen.busy("ending Temporal"):
            await server.stop()

    async def _start_services(self, stack: AsyncExitStack) -> dict[str, Any]:
        # The mails and tickets of the last demo would be counted as this one's.
        shutil.rmtree(self._data, ignore_errors=True)
        child = self._child("services", "support.services", "--data-dir", str(self._data))
        with self._screen.busy("starting the mail server and the ticket desk"):
            services = await (await stack.enter_async_context(child)).ready()
        self._screen.up(
            "Services",
            f"mail server 127.0.0.1:{services['smtp_port']}, ticket desk {services['tickets_url']}",
        )
        return services

    @asynccontextmanager
    async def _worker(self, number: int, server: DevServer, env: dict[str, str]) -> AsyncGenerator[Child]:
        """Worker 1 takes the steps before the crash, worker 2 any number."""
        args = ["--address", server.address, "--task-queue", self._task_queue]
        if number == 1:
            args += ["--steps", str(_STEPS_BEFORE_CRASH)]
        child = self._child(f"worker-{number}", "support.demo.worker", *args, env=env)
        async with child:
            with self._screen.busy(f"starting worker {number}"):
                ready = await child.ready()
            self._screen.worker(number, child.pid, ready["model"] if number == 1 else "takes over")
            yield child

    def _child(self, name: str, module: str, *args: str, env: dict[str, str] | None = None) -> Child:
        return Child(name, module, *args, env=env or {}, log=self._directory / f"{name}.log")

    async def _crash(self, worker: Child, run: RunHandle, steps: Steps) -> datetime:
        """Kill the worker once the first steps are done and the next one waits; when that was."""

        def between_two_steps() -> bool:
            return len(steps.finished) == _STEPS_BEFORE_CRASH < len(steps.all)

        with self._screen.busy("the agent works"):
            if not await worker.during(steps.read_until(between_two_steps)):
                await run.result()  # says why
                raise DemoError("the run ended before there was a step to crash at")
        killed_at = datetime.now(UTC)
        await worker.kill()
        self._screen.killed(worker.pid, steps.all[-1].node)
        return killed_at

    async def _finish(self, run: RunHandle, steps: Steps, killed_at: datetime) -> dict[str, Any]:
        """From the crash to the run's end; the agent's last state."""
        before = len(steps.finished)
        with self._screen.busy("the agent works"):
            if not await steps.read_until(lambda: len(steps.finished) > before):
                await run.result()  # says why
            self._screen.went_on(_seconds_from(killed_at, steps))
            asks = await steps.read_until(lambda: steps.finished[-1].asks)
        if asks:
            await self._decide(run)
            with self._screen.busy("the agent works"):
                await steps.read_until(lambda: False)
        return await run.result()

    async def _decide(self, run: RunHandle) -> None:
        [pending] = await run.wait_for_approvals(timeout=_PATIENCE)
        self._screen.draft(pending.value)
        began = time.monotonic()
        answer = await self._screen.decision(ask=self._ask)
        self._waited += time.monotonic() - began
        await run.resume({pending.id: answer})

    async def _close(self, summary: Summary, server: DevServer) -> None:
        self._screen.summary(summary)
        mail = next(self._mails.iterdir(), None)
        self._screen.closing(mail, server.ui_url if self._keep else None)
        if self._keep:
            await self._screen.wait_for_enter()


def _seconds_from(killed_at: datetime, steps: Steps) -> float:
    """From the kill to the start of the step that came next."""
    starts = [step.started_at for step in steps.all if step.started_at and step.started_at > killed_at]
    return (min(starts) - killed_at).total_seconds()


async def _count_tickets(url: str) -> int:
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            return len((await client.get(f"{url}/tickets")).raise_for_status().json())
    except httpx.HTTPError as error:
        raise DemoError(f"the ticket desk at {url} does not tell its tickets: {error}") from error
