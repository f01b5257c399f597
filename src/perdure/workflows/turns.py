"""One run after the other on a thread that stays open: their queue, their ends, what becomes of one that is cancelled.

Side: workflow.

| a run that comes while another waits or runs, by its strategy | what happens                                            |
|---------------------------------------------------------------|---------------------------------------------------------|
| `enqueue`                                                     | it waits                                                |
| `reject`                                                      | it is refused before it is in the history               |
| `interrupt`                                                   | the others are cancelled; what they did to the state stays |
| `rollback`                                                    | the others are cancelled and forgotten, with what they did to the state |

Cancelled either way, effects with an undo are undone. A run that ends when it is interrupted leaves its questions: the next
run answers them (`Command(resume=...)`, or answers by update), or drops them with any other input.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

from langgraph.errors import GraphDrained
from langgraph.types import Command
from temporalio import workflow
from temporalio.common import RawValue

from perdure.contract.run import CancelRequest, RunRecord, ServedStatus
from perdure.contract.thread import CarryOver, RunRequest
from perdure.errors import ApprovalExpired, PerdureError, RunCancelled, ThreadBusy, ThreadNotFound
from perdure.workflows.compensation import Compensation
from perdure.workflows.deadline import dated, in_time
from perdure.workflows.driver import RunDriver
from perdure.workflows.ends import Ends
from perdure.workflows.expiry import Expiry
from perdure.workflows.failure import as_failure
from perdure.workflows.interrupts import Interrupts
from perdure.workflows.listing import Listing
from perdure.workflows.runs import RunBook
from perdure.workflows.sizes import sendable
from perdure.workflows.states import States
from perdure.workflows.webhooks import Webhooks

__all__ = ["Turns"]


class Turns:
    """`run` is the run that is driven, on a one-shot thread too; `last` the one that stopped to ask. `main` is the workflow's
    own task, which Temporal cancels."""

    def __init__(
        self,
        carry: CarryOver,
        run: RunRequest | None,
        *,
        states: States,
        driver: RunDriver,
        interrupts: Interrupts,
        compensation: Compensation,
        listing: Listing,
        expiry: Expiry,
        set_status: Callable[..., None],
        continue_as_new: Callable[[RunRequest | None], NoReturn],
    ) -> None:
        self.book = RunBook(carry.runs, carry.queued)
        self.ends = Ends(carry.ends)
        # From the first task on: somebody who waits for its result may ask before it is driven.
        self.run = run
        self.last = carry.last
        self.webhooks = Webhooks(states)
        self.expiry = expiry
        self._states = states
        self._driver = driver
        self._interrupts = interrupts
        self._compensation = compensation
        self._listing = listing
        self._set_status = set_status
        self._continue_as_new = continue_as_new
        self.main: asyncio.Task[Any] | None = None
        self._driving: asyncio.Task[RawValue] | None = None
        self._cancel: CancelRequest | None = None
        driver.calls.on_call = self._insist

    # -- what is asked from outside -----------------------------------------------------------------------------------

    def check_start(self, request: RunRequest) -> None:
        """Raises ThreadBusy and InterruptUnknown for a run that is to be refused."""
        self.expiry.check()
        if self._answers_now(request):
            return
        if self.book.busy and request.multitask_strategy == "reject":
            raise ThreadBusy(f"thread {workflow.info().workflow_id!r} has a run already")
        if not self.book.busy and request.ends_when_interrupted and _resumes(request.input):
            self._interrupts.check(request.input.resume)

    def start(self, request: RunRequest) -> str:
        if request.id not in self.book:
            if self._answers_now(request):
                self._interrupts.accept(request.input.resume)
                request = replace(request, input=None, multitask_strategy="enqueue")
            if request.multitask_strategy in ("interrupt", "rollback"):
                self._supersede(request.multitask_strategy)
            self.book.enqueue(dated(request), workflow.time())
        return request.id

    def start_if_possible(self, request: RunRequest) -> None:
        """For who does not wait for an answer: a cron."""
        since = request.thread_since
        try:
            if since is not None and workflow.memo_value("created_at", since) != since:
                raise ThreadNotFound("it is for a thread of the same id that is gone")
            self.check_start(request)
        except PerdureError as error:
            workflow.logger.warning("run %s is not started: %s", request.id, error)
        else:
            self.start(request)

    def _answers_now(self, request: RunRequest) -> bool:
        """Whether a run answers what the one that is driven waits for (a larger budget, say): that one goes on with it, and
        this one tells what became of it."""
        if self.run is None or not _resumes(request.input) or not self._interrupts.posed:
            return False
        self._interrupts.check(request.input.resume)
        return True

    def check_known(self, run_id: str) -> None:
        """Raises ThreadNotFound for a run that waits nowhere and whose end is not known."""
        queued = any(request.id == run_id for request in self.book.queued)
        if not queued and run_id not in self.ends and (self.run is None or self.run.id != run_id):
            raise ThreadNotFound(f"thread {workflow.info().workflow_id!r} knows no run {run_id!r} (any more)")

    def cancel(self, request: CancelRequest) -> bool:
        """Whether there was something to cancel."""
        if queued := self.book.unqueue(request.run_id):
            self._cancelled(queued, rolled_back=request.action == "rollback")
            return True
        if self.run is None or self.run.id != request.run_id or self._driving is None:
            return False
        self._cancel = request
        return self._driving.cancel()

    def cancel_current(self, *, compensate: bool) -> bool:
        """As `cancel`, for the run that is driven. A one-shot thread is cancelled by Temporal itself, and only told here
        whether to compensate."""
        if self.run is None:
            return False
        self._compensation.wanted = compensate
        return self._driving is None or self.cancel(CancelRequest(self.run.id))

    def _insist(self) -> None:
        # A cancellation that meets the end of a step is lost in LangGraph's loop, which goes on to the next.
        if self._cancel is not None and self._driving is not None:
            self._driving.cancel()
        if self.main is not None and workflow.cancellation_reason() is not None:
            self.main.cancel()

    def forgettable(self, run_id: str) -> RunRecord:
        """Raises ThreadNotFound and ThreadBusy."""
        record = self.book.get(run_id)
        if record is None:
            raise ThreadNotFound(f"thread {workflow.info().workflow_id!r} knows no run {run_id!r}")
        if record.status in ("pending", "running"):
            raise ThreadBusy(f"run {run_id!r} is not over: cancel it first")
        return record

    def go_on(self) -> None:
        """Answers came for a run that has ended, or did not come in time: another one takes them, or fails."""
        if self.run is None and (self._interrupts.answers or self._interrupts.overdue(workflow.time())):
            last = self.last or RunRequest(id="")
            again = replace(last, id=str(workflow.uuid4()), input=None, checkpoint_id=None, wait_until=None)
            self.start(replace(again, expires_at=None, multitask_strategy="enqueue"))

    # -- driving ------------------------------------------------------------------------------------------------------

    async def next(self) -> RunRequest:
        """The next run, once there is one whose time has come. Deadlines of what was asked are kept meanwhile."""
        self.expiry.unused()
        while True:
            now = workflow.time()
            for request in self.book.queued:
                if request.wait_until is None or request.wait_until <= now:
                    return request
            known = len(self.book.queued)
            over = None if known else self.expiry.at
            times = [over, self._interrupts.next_deadline(), *(r.wait_until for r in self.book.queued)]
            wake: float | None = min((time for time in times if time is not None), default=None)
            try:
                await workflow.wait_condition(
                    lambda known=known: len(self.book.queued) != known,
                    timeout=None if wake is None else timedelta(seconds=max(0.0, wake - now)),
                    timeout_summary="deadline of the waiting interrupts, or the next run's time",
                )
            except TimeoutError:
                if over is not None and over <= workflow.time():
                    await self.expiry.expire()
                    continue
                with suppress(ApprovalExpired):  # the run that comes now fails with it
                    self._interrupts.expire(workflow.time())
                self.go_on()

    async def turn(self, request: RunRequest, *, resume: bool) -> None:
        """One run. Its end, however it ends, is kept for who asks for the result."""
        self.run = request = dated(request)
        self.book.begin(request, workflow.time(), self._states.saver.latest_id())
        if not resume:
            self._tell("begin", {"graph": request.graph or self._states.name}, request.id)
            self._tell_chain("start", {"input": request.input}, request)
        self._driving = asyncio.create_task(self.drive(request, resume=resume))
        try:
            self.ends.keep(request.id, await self._driving)
            self._over(request, "success")
        except asyncio.CancelledError as error:
            await self._compensation.run()
            if self._cancel is None:
                raise  # the thread itself is being cancelled
            self._driver.trace.note("cancelled", error)
            self._driver.calls.effects.clear()
            self._interrupts.clear()
            self._roll_back(request, self._cancel)
            self._set_status("idle")
        except GraphDrained:
            await self.webhooks.started()
            self._continue_as_new(request)
        except Exception as error:  # noqa: BLE001 - the run's failure is its result; the thread lives on
            self.ends.keep(request.id, as_failure(error, await self._compensation.run()))
            self._over(request, "error", error)
        finally:
            self._driving = None
            self.run = None
            self._cancel = None
            self._compensation.wanted = True

    async def drive(self, request: RunRequest, *, resume: bool) -> RawValue:
        if not resume:
            request = self._begin(request)
        result = await in_time(request, self._driver.drive(request, resume=resume))
        if request.ends_when_interrupted and self._interrupts.asking and isinstance(result, dict):
            self.last = replace(request, input=None)
        self._tell_chain("end", {"output": result}, request)
        return sendable(result, "the result of the run", parts=result)

    def _begin(self, request: RunRequest) -> RunRequest:
        """Bind the graph, and settle what an earlier run had asked."""
        if request.graph:
            self._states.bind(request.graph)
        if self._listing.metadata is not None and request.assistant_id:
            self._listing.merge({"graph_id": self._states.name, "assistant_id": request.assistant_id})
        if request.ends_when_interrupted and _resumes(request.input):
            answers = self._interrupts.resume(request.input.resume)
            self._tell_answered(answers, request.id)
            return replace(request, input=_command(request.input, answers))
        if request.input is None:
            self._interrupts.expire(workflow.time())
            self._tell_answered(self._interrupts.answers, request.id)
        if request.input is not None or not self._interrupts.answers:
            if not self._interrupts.asking:
                self._driver.root = request.id
            self._drop_questions(request)
        return request

    def _drop_questions(self, request: RunRequest) -> None:
        if self._interrupts.asking and request.input is not None:
            # Another run: what the one before did is not to be undone with it.
            self._driver.calls.effects.clear()
            self._driver.root = request.id
        self._interrupts.clear()

    def _over(self, request: RunRequest, status: ServedStatus, error: Exception | None = None) -> None:
        asking = status == "success" and self._interrupts.asking
        told = None if error is None else {"error": type(error).__name__, "message": str(error)}
        self._end(request, status, told)
        if not asking:
            self._driver.calls.effects.clear()
        self._set_status("interrupted" if asking else "idle", error)
        self._tell_end(request.id, status, told)

    def _roll_back(self, request: RunRequest, cancel: CancelRequest) -> None:
        record = self.book.get(request.id)
        undone = cancel.action == "rollback" and record is not None
        undone = undone and self._states.saver.forget_after(record.base if record else "")
        self._cancelled(request, rolled_back=undone)

    def _cancelled(self, request: RunRequest, *, rolled_back: bool) -> None:
        self.ends.keep(request.id, as_failure(RunCancelled(f"run {request.id!r} was cancelled")))
        self._end(request, "interrupted", None)
        if rolled_back:
            self.book.forget(request.id)
        self._tell_end(request.id, "interrupted", None)

    def _end(self, request: RunRequest, status: ServedStatus, error: dict[str, str] | None) -> None:
        before = self.book.get(request.id)
        ended = self.book.end(request.id, status, workflow.time(), error)
        if request.webhook and ended is not None:
            begun = before.updated_at if before is not None and before.status == "running" else None
            kwargs = {
                **ended.kwargs,
                "input": request.input,
                "config": request.config,
                "context": request.context,
            }
            trace = self._driver.trace.context(request)
            told = replace(ended, kwargs=kwargs)
            self.webhooks.tell(request.webhook, told, started_at=begun, trace=trace)

    def _supersede(self, action: str) -> None:
        for queued in list(self.book.queued):
            self.cancel(CancelRequest(queued.id, "rollback" if action == "rollback" else "interrupt"))
        if self.run is not None:
            self.cancel(CancelRequest(self.run.id, "rollback" if action == "rollback" else "interrupt"))

    def _tell_answered(self, answers: dict[str, Any] | None, run_id: str) -> None:
        if answers:
            self._tell("answered", {"interrupt_ids": list(answers)}, run_id)

    def _tell_end(self, run_id: str, status: ServedStatus, error: dict[str, str] | None) -> None:
        if error is not None:
            self._tell("error", error, run_id)
        asked = self._interrupts.waiting if status == "success" else []
        for item in asked:
            self._tell("input", {"interrupt_id": item.id, "payload": item.value}, run_id)
        ended = {"status": status, "asks": bool(asked), "graph": self._states.name, "error": error}
        self._tell("end", ended, run_id)

    def _tell_chain(self, what: str, data: dict[str, Any], request: RunRequest) -> None:
        """The graph's own part of what `astream_events` tells."""
        if "events" in request.stream:
            told = {
                "event": f"on_chain_{what}",
                "name": request.config.get("run_name") or request.graph or self._states.name,
                "run_id": request.id,
                "tags": request.config.get("tags") or [],
                "metadata": request.config.get("metadata") or {},
                "parent_ids": [],
                "data": data,
            }
            self._tell("events", told, request.id)

    def _tell(self, event: str, data: dict[str, Any], run_id: str) -> None:
        """Of runs of the HTTP server."""
        if self._listing.metadata is not None:
            self._driver.publisher.tell(event, data, run_id=run_id)


def _resumes(input: Any) -> bool:
    return isinstance(input, Command) and input.resume is not None


def _command(given: Command[Any], answers: dict[str, Any] | None) -> Any:
    """The command with its answers by id; `None`, to just go on, where nothing is left of it."""
    if answers is None and given.update is None and not given.goto:
        return None
    return replace(given, resume=answers)
