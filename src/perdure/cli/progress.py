"""Watching a run: its steps as they happen, its retries, and what it asks.

Side: cli. `Watch` follows a thread, `Progress` draws. The history is where steps come from; the thread's description tells
of retries, which are not in the history before they end, and of the status.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from perdure.cli.console import duration
from perdure.cli.story import Note, Step, Story
from perdure.cli.story_view import entry_line
from perdure.client import PerdureClient, RunHandle
from perdure.client.handle import thread_status
from perdure.contract import names
from perdure.contract.thread import PendingInterrupt

__all__ = ["Progress", "Watch"]

_POLL_SECONDS = 0.4
_NAME_WIDTH = 26
_TOLD = ("done", "failed", "cancelled")
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MOST_SHOWN = 8


class Progress:
    """Prints each step when it ends; at a terminal, those under way are shown below with a spinner."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._running: list[Step] = []
        self._live: Live | None = None

    def start(self) -> None:
        if self.console.is_terminal and self._live is None:
            self._live = Live(
                get_renderable=self._draw, console=self.console, transient=True, refresh_per_second=8
            )
            self._live.start()

    def stop(self) -> None:
        """Take the spinner away, so that something else may use the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, entry: Step | Note, running: list[Step]) -> None:
        self._running = running
        # What was asked is put to the person in full, or was answered; they know what they started, and see how it ends.
        if entry.kind not in ("started", "ended") if isinstance(entry, Note) else entry.outcome in _TOLD:
            self.console.print(entry_line(entry), overflow="ellipsis", no_wrap=self.console.is_terminal)

    def retried(self, step: Step) -> None:
        """An attempt failed and another one is under way or due."""
        if self._live is None:
            line = f"  ↻ {step.node:<{_NAME_WIDTH}} attempt {step.attempts} after {step.error}"
            self.console.print(line, soft_wrap=True, markup=False)

    def note(self, text: str) -> None:
        self.console.print(Text(f"  ! {text}", style="yellow"), soft_wrap=True)

    def _draw(self) -> RenderableType:
        frame = _FRAMES[int(time.monotonic() * 10) % len(_FRAMES)]
        return Group(*(_running_line(step, frame) for step in self._running[:_MOST_SHOWN]))


def _running_line(step: Step, frame: str) -> Text:
    line = Text(f"  {frame} ", style="cyan", no_wrap=True, overflow="ellipsis")
    line.append(
        f"{step.node:<{_NAME_WIDTH}} {duration(datetime.now(UTC) - step.scheduled):>11}", style="default"
    )
    if step.attempts > 1:
        line.append(f"   attempt {step.attempts}", style="yellow").append(f"   {step.error}", style="dim")
    return line


class Watch:
    """An async context manager around a run that is followed."""

    def __init__(
        self, client: PerdureClient, run: RunHandle, progress: Progress, *, joined: bool = False
    ) -> None:
        """`joined`: the run was added to a thread that may have had others; their steps are not shown."""
        self._client = client
        self._run = run
        self._progress = progress
        self._story = Story()
        self._shown = not joined
        self._history: asyncio.Task[None] | None = None
        self._warned = False

    async def __aenter__(self) -> Self:
        self._progress.start()
        self._history = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._history is not None:
            if kind is None or issubclass(kind, Exception):
                await asyncio.wait({self._history}, timeout=0.5)  # the last steps
            self._history.cancel()
            await asyncio.gather(self._history, return_exceptions=True)
        self._progress.stop()

    async def question(self, result: asyncio.Task[Any]) -> Sequence[PendingInterrupt]:
        """Wait until the run asks for something; what it asks. Empty when it has ended."""
        while not result.done():
            if await self._asks():
                waiting = await self._waiting()
                if waiting:
                    return waiting
            await asyncio.wait({result}, timeout=_POLL_SECONDS)
        return []

    async def until_answered(self) -> None:
        """Wait until the run waits no more: somebody else decided, or the time was over."""
        while await self._asks():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(_POLL_SECONDS)

    async def _asks(self) -> bool:
        description = await self._run.handle.describe()
        self._note_retries(description)
        running = description.status == WorkflowExecutionStatus.RUNNING
        return running and _status(await description.memo(), description) == "interrupted"

    async def _waiting(self) -> Sequence[PendingInterrupt]:
        try:
            return (await self._run.state()).interrupts
        except RPCError as error:
            if error.status not in (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.DEADLINE_EXCEEDED):
                raise
            if not self._warned:
                self._progress.note(
                    "the run asks for something, but no worker answers: start one (`perdure worker`)"
                )
            self._warned = True
            return []

    def _note_retries(self, description: WorkflowExecutionDescription) -> None:
        for step in self._story.note_retries(description.raw_description.pending_activities):
            self._progress.retried(step)

    async def _follow(self) -> None:
        handle = self._client.temporal.get_workflow_handle(self._run.thread_id)
        while True:
            async for event in handle.fetch_history_events(wait_new_event=True):
                entry = self._story.apply(event)
                self._shown = self._shown or self._is_the_runs_start(event)
                if entry is not None and self._shown:
                    self._progress.show(entry, self._story.running)
            if self._story.next_run is None:
                return
            handle = self._client.temporal.get_workflow_handle(
                self._run.thread_id, run_id=self._story.next_run
            )
            self._story.next_run = None

    def _is_the_runs_start(self, event: HistoryEvent) -> bool:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            return bool(event.workflow_execution_started_event_attributes.continued_execution_run_id)
        accepted = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
        if accepted.name != names.UPDATE_START_RUN or not accepted.args.payloads:
            return False
        try:
            return json.loads(accepted.args.payloads[0].data)["id"] == self._run.run_id
        except (ValueError, KeyError, TypeError):
            return True


def _status(memo: Any, description: WorkflowExecutionDescription) -> str:
    return thread_status(memo, description.typed_search_attributes)
