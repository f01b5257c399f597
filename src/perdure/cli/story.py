"""A thread's history as a story: node calls with their attempts, durations and errors, and what happened in between.

Side: cli. Pure: events in, entries out. It reads payloads as the JSON that they are; what cannot be read (an encrypting
codec) costs details, never an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure.contract import names

__all__ = ["Note", "Step", "Story", "failure_kinds", "failure_text"]

_ID = re.compile(r"[0-9a-f]{32}|breakpoint:.*")

_TOLD = frozenset({names.RUN_NODE, names.RUN_TASK, names.RUN_EFFECT, names.RUN_UNDO})

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
    """One node call. `error` is the last one: of the call when it failed, else of the attempt before the last."""

    activity_id: str
    node: str
    step: int
    scheduled: datetime
    closed: datetime | None = None
    attempts: int = 1
    outcome: Outcome = "running"
    error: str = ""
    failures: list[str] = field(default_factory=list[str])
    """The kinds of its failed attempts, in order; those whose worker died are not among them."""
    outputs: list[str] = field(default_factory=list[str])
    """What was wrong with answers of a model that the node went on with, such as "OutputTruncated"."""

    @property
    def duration(self) -> timedelta | None:
        """From when it was asked for to its end, with all attempts and the waits between them."""
        return None if self.closed is None else self.closed - self.scheduled


@dataclass(frozen=True)
class Note:
    """Something between the steps. Kinds: answered, carried (continued as new), stuck (a failed workflow task)."""

    kind: Literal["answered", "carried", "stuck"]
    text: str
    time: datetime


class Story:
    """Feed it a thread's events in order."""

    def __init__(self) -> None:
        self.entries: list[Step | Note] = []
        self.next_run: str | None = None
        """Temporal's run id of the next part of the thread, after it was continued as new."""
        self._open: dict[int, Step] = {}

    @property
    def steps(self) -> list[Step]:
        return [entry for entry in self.entries if isinstance(entry, Step)]

    @property
    def running(self) -> list[Step]:
        return list(self._open.values())

    def apply(self, event: HistoryEvent) -> Step | Note | None:
        """Take in one event; the entry that it made or changed."""
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                return self._scheduled(event)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started = event.activity_task_started_event_attributes
                return self._started(started.scheduled_event_id, started.attempt, started.last_failure)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                completed = event.activity_task_completed_event_attributes
                result = _object(completed.result)
                step = self._closed(
                    completed.scheduled_event_id, event, "asked" if "interrupts" in result else "done"
                )
                if step is not None:
                    step.outputs = list(result.get("outputs") or ())
                    step.failures = list(result.get("failures") or step.failures)
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
                request = event.workflow_execution_update_accepted_event_attributes.accepted_request
                if request.input.name == names.UPDATE_RESUME:
                    return self._note("answered", _answers(_object(request.input.args).get("value")), event)
            case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                broken = event.workflow_task_failed_event_attributes
                if broken.cause not in _HARMLESS:
                    return self._note("stuck", failure_text(broken.failure), event)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
                attributes = event.workflow_execution_continued_as_new_event_attributes
                self.next_run = attributes.new_execution_run_id
                return self._note("carried", "continued as new", event)
            case _:
                pass
        return None

    def _scheduled(self, event: HistoryEvent) -> Step | None:
        attributes = event.activity_task_scheduled_event_attributes
        if attributes.activity_type.name not in _TOLD:
            return None
        call = _object(attributes.input)
        undo = attributes.activity_type.name == names.RUN_UNDO
        node = f"undo {call.get('name', '')}" if undo else "/".join(call.get("path") or [])
        node = node or attributes.activity_id.rpartition(":")[0]
        step = Step(attributes.activity_id, node, int(call.get("step") or 0), _time(event.event_time))
        self._open[event.event_id] = step
        self.entries.append(step)
        return step

    def _started(self, scheduled: int, attempt: int, last_failure: Failure) -> Step | None:
        step = self._open.get(scheduled)
        if step is not None:
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
            if failure is not None:
                step.error = failure_text(failure) or step.error
                step.failures = failure_kinds(failure) or [*step.failures, "timeout"]
        return step

    def _note(self, kind: Literal["answered", "carried", "stuck"], text: str, event: HistoryEvent) -> Note:
        note = Note(kind, text, _time(event.event_time))
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
    return f"{kind}: {text}" if kind and text else kind or text


def failure_kinds(failure: Failure) -> list[str]:
    """The kinds of a node call's failed attempts up to this failure."""
    while failure.HasField("cause") and not failure.HasField("application_failure_info"):
        failure = failure.cause
    told = _object(failure.application_failure_info.details)
    return [str(kind) for kind in told.get("failures") or ()]


def _answers(value: Any) -> str:
    by_id = isinstance(value, dict) and value and all(_ID.fullmatch(str(key)) for key in value)
    answers = list(cast("dict[str, Any]", value).values()) if by_id else [value]
    return ", ".join(json.dumps(answer, ensure_ascii=False) for answer in answers)


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
