"""Where traces meet Temporal's worker: an interceptor that records what workflows tell, and each attempt of a node.

Side: worker. Why not Temporal's own OpenTelemetry plugin: it needs a global provider of its own kind, has one span for a
thread's whole life, and loses the context of runs that wait in line. What crosses is in the contract (`contract/trace.py`).
"""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import SpanKind
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from perdure.contract.effect import UndoCall
from perdure.contract.node import NodeCall
from perdure.contract.trace import EXTERN_SAMPLED, EXTERN_SPAN
from perdure.contract.webhook import WebhookCall
from perdure.telemetry.attempts import AttemptSpans, attempt_spans, failed
from perdure.telemetry.messages import captured
from perdure.telemetry.propagation import context_of
from perdure.telemetry.spans import Tracing

__all__ = ["TracingInterceptor"]


class TracingInterceptor(Interceptor):
    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        input.unsafe_extern_functions.update(
            {EXTERN_SPAN: self._tracing.emit, EXTERN_SAMPLED: self._tracing.sampled}
        )
        return None

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Attempts(next, self._tracing)


class _Attempts(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, tracing: Tracing) -> None:
        super().__init__(next)
        self._tracing = tracing

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        call = input.args[0] if input.args else None
        if not isinstance(call, (NodeCall, UndoCall, WebhookCall)) or not call.trace:
            return await super().execute_activity(input)
        info = activity.info()
        thread = call.thread_id if isinstance(call, WebhookCall) else info.workflow_id or ""
        attempt_spans.set(AttemptSpans(self._tracing, thread, content=captured()))
        attributes = {
            "gen_ai.conversation.id": thread,
            "perdure.attempt": info.attempt,
            "temporalActivityID": info.activity_id,
            "temporalRunID": info.workflow_run_id or "",
        }
        with self._tracing.tracer.start_as_current_span(
            f"attempt {_name(call)}",
            context=context_of(call.trace),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await super().execute_activity(input)
            except Exception as error:
                # Perdure's own message has no secrets; what anybody else raises may have some.
                failed(span, error, error.message if isinstance(error, ApplicationError) else "")
                raise


def _name(call: NodeCall | UndoCall | WebhookCall) -> str:
    if isinstance(call, NodeCall):
        return "/".join(call.path)
    return "webhook" if isinstance(call, WebhookCall) else f"undo {call.name}"
