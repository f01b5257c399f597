"""A thread's history as a story: node calls with their attempts, durations, errors and cost, and what happened in between.

Side: cli. Pure: events in, entries out. It reads payloads as the JSON that they are; what cannot be read (an encrypting
codec) costs details, never an error.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo

from perdure.contract import names
from perdure.contract.usage import Usage, total_usage, usage_from

__all__ = ["Kind", "Note", "NoteKind", "Step", "Story", "failure_kinds", "failure_text"]

_ID = re.compile(r"[0-9a-f]{32}|breakpoint:.*")

Kind = Literal["node", "task", "effect", "undo"]
_KINDS: dict[str, Kind] = {
    names.RUN_NODE: "node",
    names.RUN_TASK: "task",
    names.RUN_EFFECT: "effect",
    names.RUN_UNDO: "undo",
}

_MOST_CHARS = 100

Outcome = Literal["running", "done", "asked", "failed", "cancelled"]

# Part of a workflow's normal life: its worker was asked again with newer events, or it was reset or closed meanwhile.
_HARMLESS = frozenset(
    {
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
    }
)


@dataclass
class Step:
    """One node call, or a task or effect that it called, or an undo. `error` is the last one: of the call when it failed,
    else of the attempt before the last."""

    activity_id: str
    node: str
    step: int
    scheduled: datetime
    kind: Kind = "node"
    started: datetime | None = None
    """When the attempt that ended it began; `None` while it waits for a worker, or runs."""
    closed: datetime | None = None
    attempts: int = 1
    outcome: Outcome = "running"
    error: str = ""
    failures: list[str] = field(default_factory=list[str])
    """The kinds of its failed attempts, in order; those whose worker died are not among them."""
    outputs: list[str] = field(default_factory=list[str])
    """What was wrong with answers of a model that the node went on with, such as "OutputTruncated"."""
    models: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    """What its model calls took, by model: calls, input_tokens, output_tokens, money (US dollars), unpriced."""
    tools: dict[str, int] = field(default_factory=dict[str, int])
    """How often it called which tool."""
    key: str = ""
    """An effect's idempotency key."""
    in_doubt: bool = False
    """The effect may have happened before."""
    next_attempt: datetime | None = None
    """When it is tried again, where it waits for that."""

    @property
    def duration(self) -> timedelta | None:
        """From when it was asked for to its end, with all attempts and the waits between them."""
        return None if self.closed is None else self.closed - self.scheduled


NoteKind = Literal[
    "started", "answered", "expired", "changed", "reset", "cancelled", "carried", "stuck", "ended"
]


@dataclass(frozen=True)
class Note:
    """Something between the steps. Kinds: started, answered, expired (a deadline decided), changed (the state, by hand), reset,
    cancelled (somebody asked for it), carried (continued as new), stuck (a failed workflow task), ended. `waited` is how long
    an answer took."""

    kind: NoteKind
    text: str
    time: datetime
    waited: timedelta | None = None


class Story:
    """Feed it a thread's events in order."""

    def __init__(self) -> None:
        self.entries: list[Step | Note] = []
        self.next_run: str | None = None
        """Temporal's run id of the next part of the thread, after it was continued as new."""
        self._open: dict[int, Step] = {}
        self._asked_at: datetime | None = None

    @property
    def steps(self) -> list[Step]:
        return [entry for entry in self.entries if isinstance(entry, Step)]

    @property
    def running(self) -> list[Step]:
        return list(self._open.values())

    @property
    def begun(self) -> datetime | None:
        """When its first entry was."""
        if not self.entries:
            return None
        first = self.entries[0]
        return first.time if isinstance(first, Note) else first.scheduled

    def tells(self, problem: str) -> bool:
        """Whether its end says so already."""
        return any(
            note.kind == "ended" and problem in note.text
            for note in self.entries[-1:]
            if isinstance(note, Note)
        )

    @property
    def usage(self) -> Usage:
        """Of all that the history tells of, also of earlier runs on the thread."""
        told = ({"models": step.models, "tools": step.tools} for step in self.steps)
        return total_usage(usage_from(part) for part in told)

    def note_retries(self, pending: Iterable[PendingActivityInfo]) -> list[Step]:
        """Take in what the history does not tell before it is over; the steps that are at another attempt since."""
        running = {step.activity_id: step for step in self.running}
        retried: list[Step] = []
        for told in pending:
            step = running.get(told.activity_id)
            if step is None:
                continue
            due = _time(told.scheduled_time) if told.HasField("scheduled_time") else None
            step.next_attempt = due if due is not None and due > datetime.now(UTC) else None
            if told.attempt > step.attempts:
                step.attempts = told.attempt
                step.error = failure_text(told.last_failure)
                step.failures = failure_kinds(told.last_failure)
                retried.append(step)
        return retried

    def apply(self, event: HistoryEvent) -> Step | Note | None:
        """Take in one event; the entry that it made or changed."""
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                return self._scheduled(event)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started = event.activity_task_started_event_attributes
                return self._started(event, started.scheduled_event_id, started.attempt, started.last_failure)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                completed = event.activity_task_completed_event_attributes
                result = _object(completed.result)
                step = self._closed(
                    completed.scheduled_event_id, event, "asked" if "interrupts" in result else "done"
                )
                if step is not None:
                    step.outputs = list(result.get("outputs") or ())
                    step.failures = list(result.get("failures") or step.failures)
                    _use(step, result.get("usage"))
                return step
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                return self._closed(failed.scheduled_event_id, event, "failed", failed.failure)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                late = event.activity_task_timed_out_event_attributes
                return self._closed(late.scheduled_event_id, event, "failed", late.failure)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
                cancelled = event.activity_task_canceled_event_attributes
                return self._closed(cancelled.scheduled_event_id, event, "cancelled")
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
                return self._updated(event)
            case EventType.EVENT_TYPE_TIMER_FIRED if self._asked_at is not None:
                return self._note("expired", "nobody answered in time", event)
            case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                broken = event.workflow_task_failed_event_attributes
                if broken.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
                    return self._note("reset", "reset", event)
                if broken.cause not in _HARMLESS:
                    return self._note("stuck", failure_text(broken.failure), event)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
                attributes = event.workflow_execution_continued_as_new_event_attributes
                self.next_run = attributes.new_execution_run_id
                return self._note("carried", "continued as new", event)
            case _:
                return self._outside(event)
        return None

    def _outside(self, event: HistoryEvent) -> Note | None:
        """The thread's beginning and end, and what was done to it."""
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                begun = event.workflow_execution_started_event_attributes
                run = _object(begun.input).get("run")
                if begun.continued_execution_run_id or not isinstance(run, dict):
                    return None
                return self._note("started", _line(cast("dict[str, Any]", run).get("input")), event)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
                return self._note("ended", "completed", event)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
                failure = event.workflow_execution_failed_event_attributes.failure
                return self._note("ended", f"failed: {failure_text(failure)}", event)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
                return self._note("cancelled", "cancellation asked for", event)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
                return self._note("ended", "cancelled", event)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
                reason = event.workflow_execution_terminated_event_attributes.reason
                return self._note("ended", f"terminated: {reason}", event)
            case _:
                return None

    def _updated(self, event: HistoryEvent) -> Note | None:
        request = event.workflow_execution_update_accepted_event_attributes.accepted_request
        told = _object(request.input.args)
        match request.input.name:
            case names.UPDATE_RESUME:
                waited = None if self._asked_at is None else _time(event.event_time) - self._asked_at
                return self._note("answered", _answers(told.get("value")), event, waited=waited)
            case names.UPDATE_START_RUN:
                return self._note("started", _line(told.get("input")), event)
            case names.UPDATE_STATE:
                return self._note("changed", "the state was changed by hand", event)
            case names.UPDATE_CANCEL | names.UPDATE_CANCEL_RUN:
                return self._note("cancelled", "cancellation asked for", event)
            case _:
                return None

    def _scheduled(self, event: HistoryEvent) -> Step | None:
        attributes = event.activity_task_scheduled_event_attributes
        kind = _KINDS.get(attributes.activity_type.name)
        if kind is None:
            return None
        call = _object(attributes.input)
        node = f"undo {call.get('name', '')}" if kind == "undo" else "/".join(call.get("path") or [])
        node = node or attributes.activity_id.rpartition(":")[0]
        step = Step(attributes.activity_id, node, int(call.get("step") or 0), _time(event.event_time), kind)
        grant = call.get("effect")
        if kind == "effect" and isinstance(grant, dict):
            told = cast("dict[str, Any]", grant)
            step.key, step.in_doubt = str(told.get("key", "")), bool(told.get("in_doubt"))
        elif kind == "undo":
            step.key = str(call.get("key", ""))
        self._open[event.event_id] = step
        self._asked_at = None
        self.entries.append(step)
        return step

    def _started(
        self, event: HistoryEvent, scheduled: int, attempt: int, last_failure: Failure
    ) -> Step | None:
        step = self._open.get(scheduled)
        if step is not None:
            step.started = _time(event.event_time)
            step.attempts = attempt
            step.error = failure_text(last_failure) if attempt > 1 else ""
            step.failures = failure_kinds(last_failure)
        return step

    def _closed(
        self, scheduled: int, event: HistoryEvent, outcome: Outcome, failure: Failure | None = None
    ) -> Step | None:
        step = self._open.pop(scheduled, None)
        if step is not None:
            step.outcome = outcome
            step.closed = _time(event.event_time)
            step.next_attempt = None
            if failure is not None:
                step.error = failure_text(failure) or step.error
                step.failures = failure_kinds(failure) or [*step.failures, "timeout"]
                _use(step, _details(failure).get("usage"))
            if outcome == "asked":
                self._asked_at = self._asked_at or step.closed
        return step

    def _note(
        self, kind: NoteKind, text: str, event: HistoryEvent, *, waited: timedelta | None = None
    ) -> Note:
        note = Note(kind, text, _time(event.event_time), waited)
        self.entries.append(note)
        return note


def failure_text(failure: Failure) -> str:
    """One line: the innermost cause that says something, with its type."""
    while failure.HasField("cause") and not failure.HasField("application_failure_info"):
        failure = failure.cause
    kind = failure.application_failure_info.type
    if failure.HasField("timeout_failure_info"):
        kind = "Timeout"
    text = " ".join(failure.message.split())
    return f"{kind}: {text}" if kind and text and not text.startswith(f"{kind}: ") else text or kind


def failure_kinds(failure: Failure) -> list[str]:
    """The kinds of a node call's failed attempts up to this failure."""
    return [str(kind) for kind in _details(failure).get("failures") or ()]


def _details(failure: Failure) -> dict[str, Any]:
    while failure.HasField("cause") and not failure.HasField("application_failure_info"):
        failure = failure.cause
    return _object(failure.application_failure_info.details)


def _use(step: Step, told: Any) -> None:
    """What it used, as its result or its failure tells it."""
    usage = usage_from(told)
    step.models = usage.told().get("models", {})
    tools = Counter[str]()
    for name, count in usage.tools.items():
        tools[name.rpartition(":")[0]] += count
    step.tools = dict(tools)


def _answers(value: Any) -> str:
    by_id = isinstance(value, dict) and value and all(_ID.fullmatch(str(key)) for key in value)
    answers = list(cast("dict[str, Any]", value).values()) if by_id else [value]
    return ", ".join(json.dumps(answer, ensure_ascii=False) for answer in answers)


def _line(value: Any) -> str:
    """A value in a line that is not too long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 1] + "…"


def _object(payloads: Payloads) -> dict[str, Any]:
    if not payloads.payloads:
        return {}
    try:
        value = json.loads(payloads.payloads[0].data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
