"""An attempt's letters to its workflow: which tasks to run, and what became of them.

Side: activities. Requests go out as signals, as many at a time as have gathered. Outcomes come from the workflow itself
where it lives in this process, else by a query: soon, and then each time after 1.5 times as long, so that a task seems to
take half as long again at most. An outcome that has come is in the history.

Guaranteed: a request that the workflow does not know of ends in an error and does not wait for ever.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from perdure.activities.asking import Questions, until_answered
from perdure.activities.lending import Lending
from perdure.contract import names
from perdure.contract.task import TaskBatch, TaskNews, TaskOutcome, TaskPoll, TaskRequest
from perdure.errors import PayloadError, TaskNotTaken
from perdure.payloads.limits import check_size
from perdure.storage.external import size_limit

__all__ = ["TaskMail", "TaskNotices"]

# Seconds. A workflow of this process tells by itself, and is asked only in case it has moved.
_FIRST = 0.05
_FIRST_IF_NEAR = 1.0
_MOST = 2.0
_IF_HERE = 5.0
_UNKNOWN_ENOUGH = 3
# The price of input that is in the history twice; what it buys is a task that asks nobody for it.
_SMALL_BYTES = 2_000
_BATCH_BYTES = 1_000_000


class TaskNotices:
    """Where the workflows of this process tell what became of a task. One per worker; safe to use from any thread."""

    def __init__(self) -> None:
        self._listeners: dict[str, Callable[[TaskOutcome | None], None]] = {}

    def listen(self, asker: str, listener: Callable[[TaskOutcome | None], None]) -> None:
        self._listeners[asker] = listener

    def leave(self, asker: str) -> None:
        self._listeners.pop(asker, None)

    def tell(self, asker: str, outcome: TaskOutcome | None) -> None:
        """`None` says that the request has come to a workflow of this process. Nobody may be listening (any more)."""
        if (listener := self._listeners.get(asker)) is not None:
            listener(outcome)


class TaskMail:
    """One per attempt; use it within `open()`. Set `near` when the workflow was in this process a moment ago."""

    def __init__(self, notices: TaskNotices, lending: Lending, questions: Questions) -> None:
        self.near = False
        self._notices = notices
        self._lending = lending
        self._questions = questions
        self._asker = uuid.uuid4().hex
        self._outbox: list[tuple[TaskRequest, int]] = []
        self._waits: dict[str, asyncio.Future[TaskOutcome]] = {}
        # Those that the workflow was sent, with how often it said that it does not know them.
        self._sent: dict[str, int] = {}
        self._here = False
        self._sender: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._place = ExitStack()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()

        def heard(outcome: TaskOutcome | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._heard, outcome)

        self._notices.listen(self._asker, heard)
        try:
            yield
        finally:
            self._notices.leave(self._asker)
            self._place.close()
            for task in (self._sender, self._watcher):
                if task is not None:
                    task.cancel()

    async def ask(self, request: TaskRequest) -> TaskOutcome:
        """Have a task run; what became of it.

        Raises:
            PayloadError: when the arguments cannot be sent. TaskNotTaken: when the workflow does not know of it.
            RPCError: when there is no such workflow (any more).
        """
        wait = self._waits.get(request.key)
        if wait is not None:
            return await asyncio.shield(wait)
        size = _size(request)
        request = replace(request, small=size <= _SMALL_BYTES)
        wait = self._waits[request.key] = asyncio.get_running_loop().create_future()
        self._outbox.append((request, size))
        if len(self._waits) == 1:
            self._place.enter_context(self._lending.lent())
        self._start()
        try:
            return await wait
        finally:
            self._waits.pop(request.key, None)
            self._sent.pop(request.key, None)
            if not self._waits:
                self._place.close()

    def _start(self) -> None:
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())

    async def _send(self) -> None:
        handle = _workflow()
        while self._outbox:
            batch = self._next_batch()
            self._here = False
            try:
                await until_answered(
                    lambda batch=batch: handle.signal(names.SIGNAL_TASKS, TaskBatch(self._asker, batch))
                )
            except (RPCError, PayloadError) as error:
                for request in batch:
                    self._fail(request.key, error)
                continue
            self._sent.update({request.key: 0 for request in batch if request.key in self._waits})
            self._changed.set()

    def _next_batch(self) -> list[TaskRequest]:
        batch: list[TaskRequest] = []
        total = 0
        while self._outbox and (not batch or total + self._outbox[0][1] <= _BATCH_BYTES):
            request, size = self._outbox.pop(0)
            batch.append(request)
            total += size
        return batch

    async def _watch(self) -> None:
        handle = _workflow()
        first = _FIRST_IF_NEAR if self.near else _FIRST
        pause = first
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), _IF_HERE if self._here else pause)
            except TimeoutError:
                pause = min(pause * 1.5, _MOST)
                if keys := list(self._sent):
                    await self._poll(handle, keys)
            else:
                self._changed.clear()
                pause = first

    async def _poll(self, handle: WorkflowHandle[Any, Any], keys: list[str]) -> None:
        poll = TaskPoll(self._asker, keys)
        try:
            news = await self._questions.ask(handle, names.QUERY_TASKS, poll, TaskNews)
        except (RPCError, WorkflowQueryFailedError) as error:
            for key in keys:
                self._fail(key, error)
            return
        for outcome in news.outcomes:
            self._heard(outcome)
        for key in news.unknown:
            if key in self._sent:
                self._sent[key] += 1
                if self._sent[key] >= _UNKNOWN_ENOUGH:
                    self._fail(key, TaskNotTaken(f"the workflow does not know task call {key!r} (any more)"))

    def _heard(self, outcome: TaskOutcome | None) -> None:
        if outcome is None:
            self._here = True
        elif (wait := self._waits.get(outcome.key)) is not None and not wait.done():
            wait.set_result(outcome)

    def _fail(self, key: str, error: Exception) -> None:
        wait = self._waits.get(key)
        if wait is not None and not wait.done():
            wait.set_exception(error)


def _size(request: TaskRequest) -> int:
    converter = activity.payload_converter()
    given = request.input
    payload = converter.to_payload(request)
    check_size(
        payload,
        f"the call of task {request.name!r}",
        limit=size_limit(activity.client().data_converter),
        converter=converter,
        parts=given.kwargs | {str(place): value for place, value in enumerate(given.args)},
    )
    return len(payload.data)


def _workflow() -> WorkflowHandle[Any, Any]:
    info = activity.info()
    if info.workflow_id is None:
        raise RuntimeError("a task can only be called in an activity of a thread workflow")
    return activity.client().get_workflow_handle(info.workflow_id, run_id=info.workflow_run_id)
