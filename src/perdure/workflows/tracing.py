"""The spans of a thread's runs: a run, its node calls, tasks, effects, undos and waits.

Side: workflow. Spans are told of when they are over, and not when that is replayed; ids are derived, so that they are the
same at every replay, and a worker with traces and one without agree on every command.

| span                          | hangs under                                                        |
|-------------------------------|--------------------------------------------------------------------|
| `invoke_agent GRAPH`          | what the client that started the run was doing; else it is a root  |
| `node PATH`, `undo NAME`, `wait` | the run                                                         |
| `task PATH`, `effect PATH`    | the node call                                                      |

A run that continues as new, or is reset, has one span in each workflow run, in one trace, each linked to the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from temporalio import workflow
from temporalio.workflow import ContinueAsNewError

from perdure.contract.thread import RunRequest
from perdure.contract.trace import (
    EXTERN_SAMPLED,
    EXTERN_SPAN,
    EndedSpan,
    Scalar,
    TraceContext,
    derived,
    is_sampled,
    traceparent,
)
from perdure.errors import NodeFailed
from perdure.workflows.metrics import RunMetrics

__all__ = ["OpenSpan", "RunTrace", "begun"]

_Attributes = dict[str, Scalar | list[str]]


class OpenSpan:
    """One that is under way. `context` is its `traceparent`, empty where nothing is traced."""

    def __init__(
        self, trace: RunTrace, name: str, context: str, parent: str, attributes: _Attributes
    ) -> None:
        self.context = context
        self._trace = trace
        self._told = EndedSpan(name, context, parent, workflow.time_ns(), 0, attributes)

    def end(
        self,
        error: BaseException | None = None,
        *,
        link: tuple[str, str] = ("", ""),
        state: str = "",
        **more: Any,
    ) -> None:
        """Tell of it. `link` is what it goes on with: how, and its `traceparent`. Attributes by keyword are `perdure.*`; those
        that say nothing are left out."""
        attributes = {**self._told.attributes, **{f"perdure.{k}": v for k, v in more.items() if v}}
        if error is not None and isinstance(error.__cause__, NodeFailed):
            # What it says of the node's own error has been looked through for secrets.
            error = error.__cause__
        if isinstance(error, asyncio.CancelledError):
            attributes["perdure.outcome"] = "cancelled"
        elif error is not None:
            attributes["error.type"] = str(getattr(error, "cause_type", "") or type(error).__name__)
        failed = None if error is None or isinstance(error, asyncio.CancelledError) else str(error)
        self._trace.tell(
            replace(
                self._told, attributes=attributes, error=failed, linked=link[0], link=link[1], state=state
            ),
            outcome="failed" if failed else str(attributes.get("perdure.outcome", "done")),
        )


class RunTrace:
    """One per workflow run. `usage` tells what the run has used."""

    def __init__(self, usage: Callable[[], dict[str, Any]]) -> None:
        externs = workflow.extern_functions()
        self._emit = cast("Callable[[EndedSpan], None] | None", externs.get(EXTERN_SPAN))
        self._sampled = cast("Callable[[str, str], bool] | None", externs.get(EXTERN_SAMPLED))
        self._workflow_run = workflow.info().run_id
        self.metrics = RunMetrics()
        self._usage = usage
        self._count = 0
        self._given = TraceContext("")
        self._link = ("", "")
        self._request = ""
        self._run: OpenSpan | None = None
        self._error: BaseException | None = None
        self._status = ""

    @contextmanager
    def run(self, request: RunRequest, graph: str) -> Generator[None]:
        """Around all that a run does in this workflow run, its compensation too."""
        self._begin(request, graph)
        try:
            yield
        except ContinueAsNewError:
            self._end("continued as new")
            raise
        except asyncio.CancelledError as error:
            self._error = error
            self._end("cancelled")
            raise
        except Exception as error:
            self._error = self._error or error
            self._end("failed")
            raise
        # An evicted workflow's is not over: its generators are closed with neither.
        self._end("")

    def note(self, status: str, error: BaseException | None) -> None:
        """How the run stands, and which failure it came to."""
        self._status = status
        self._error = self._error or error

    def carried(self, request: RunRequest | None) -> RunRequest | None:
        """The run as it goes on in the next workflow run."""
        if request is None or self._run is None or not self._run.context:
            return request
        parent = self._given.parent or self._run.context
        return replace(request, trace=TraceContext(parent, self._given.state, self._run.context))

    def place(self) -> dict[str, Any]:
        return {"graph": self.metrics.graph, "run": self._request}

    def context(self, request: RunRequest) -> str:
        """What more belongs to the run is below: its span, or what that would be below."""
        if self._run is not None and self._run.context and self._request == request.id:
            return self._run.context
        return request.trace.parent if request.trace is not None else ""

    def open(self, name: str, *, under: str = "", **attributes: Scalar) -> OpenSpan:
        """A span below the run's, or below that of the `traceparent` that is given. Attributes are `perdure.*`."""
        parent = under or (self._run.context if self._run is not None else "")
        self._count += 1
        if not parent:
            return OpenSpan(self, name, "", "", {})
        _, trace, _, flags = parent.split("-")
        # Of the workflow run: what is done again after a reset is not the same.
        span = derived(16, self._workflow_run, str(self._count))
        told = {f"perdure.{key}": value for key, value in attributes.items()}
        return OpenSpan(self, name, traceparent(trace, span, flags), parent, self._common() | told)

    def tell(self, span: EndedSpan, *, outcome: str) -> None:
        # What is left of a workflow that was dropped may be closed in another one's turn.
        if not workflow.in_workflow() or workflow.info().run_id != self._workflow_run:
            return
        kind, _, name = span.name.partition(" ")
        if kind == "invoke_agent":
            self.metrics.run(outcome)
        else:
            self.metrics.step(kind, name, workflow.time_ns() - span.started, outcome)
        if self._emit is None or not is_sampled(span.context):
            return
        if not workflow.unsafe.is_replaying():
            self._emit(replace(span, ended=workflow.time_ns()))

    def _begin(self, request: RunRequest, graph: str) -> None:
        self._error = None
        self._request = request.id
        self._given = request.trace or TraceContext("")
        self.metrics.graph = graph
        thread = workflow.info().workflow_id
        name = f"invoke_agent {graph}"
        if self._emit is None or self._sampled is None:
            self._run = OpenSpan(self, name, "", "", {})
            return
        if parent := self._given.parent:
            _, trace, _, flags = parent.split("-")
        else:
            trace = derived(32, thread, request.id)
            flags = "01" if self._sampled(trace, name) else "00"
        # After a reset it is another one, as the one before may have been told: linked to that.
        original = workflow.info().original_execution_run_id or self._workflow_run
        span = derived(16, self._workflow_run, request.id)
        self._link = ("continued from", self._given.previous)
        if original != self._workflow_run:
            self._link = ("reset", traceparent(trace, derived(16, original, request.id), flags))
        attributes = self._common() | {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": graph,
            "perdure.run": request.id,
            "temporalRunID": self._workflow_run,
        }
        self._run = OpenSpan(self, name, traceparent(trace, span, flags), parent, attributes)

    def _end(self, outcome: str) -> None:
        if self._run is None:
            return
        used = self._usage()
        self._run.end(
            self._error,
            link=self._link,
            state=self._given.state,
            outcome=outcome or self._outcome(),
            model_calls=used.get("model_calls"),
            tool_calls=used.get("tool_calls"),
            input_tokens=used.get("input_tokens"),
            output_tokens=used.get("output_tokens"),
            money=used.get("money"),
        )
        self._run = None

    def _outcome(self) -> str:
        if isinstance(self._error, asyncio.CancelledError):
            return "cancelled"
        if self._error is not None:
            return "failed"
        return "interrupted" if self._status == "interrupted" else "completed"

    def _common(self) -> _Attributes:
        return {"gen_ai.conversation.id": workflow.info().workflow_id}


def begun(name: str, attributes: _Attributes) -> TraceContext | None:
    """A trace that begins with this workflow, whose only span is over now; `None` where nothing is traced."""
    externs = workflow.extern_functions()
    emit = cast("Callable[[EndedSpan], None] | None", externs.get(EXTERN_SPAN))
    sampled = cast("Callable[[str, str], bool] | None", externs.get(EXTERN_SAMPLED))
    if emit is None or sampled is None:
        return None
    info = workflow.info()
    trace = derived(32, info.workflow_id, info.run_id)
    flags = "01" if sampled(trace, name) else "00"
    context = traceparent(trace, derived(16, info.run_id), flags)
    if is_sampled(context) and not workflow.unsafe.is_replaying():
        started = int(info.start_time.timestamp() * 1e9)
        emit(EndedSpan(name, context, "", started, workflow.time_ns(), attributes))
    return TraceContext(context)
