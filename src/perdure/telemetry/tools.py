"""Spans of tool calls, by LangChain's callbacks. Side: activities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langgraph.errors import GraphBubbleUp
from opentelemetry import context, trace
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from perdure.telemetry.messages import as_json

__all__ = ["ToolSpans"]


class ToolSpans(BaseCallbackHandler):
    """For one attempt. It is told where the tool is called, so that the tool's code runs within its span."""

    run_inline = True

    def __init__(self, tracer: Tracer, attributes: Mapping[str, str], *, content: bool) -> None:
        self._tracer = tracer
        self._attributes = attributes
        self._content = content
        self._under_way: dict[UUID, tuple[Span, Any]] = {}

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: UUID,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        name = str(kwargs.get("name") or (serialized or {}).get("name") or "tool")
        told = {
            **self._attributes,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
        }
        if call := kwargs.get("tool_call_id"):
            told["gen_ai.tool.call.id"] = str(call)
        if self._content:
            told["gen_ai.tool.call.arguments"] = as_json(input_str if inputs is None else inputs)
        span = self._tracer.start_span(f"execute_tool {name}", attributes=told)
        self._under_way[run_id] = span, context.attach(trace.set_span_in_context(span))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        span = self._close(run_id)
        if span is not None:
            if self._content:
                span.set_attribute("gen_ai.tool.call.result", as_json(getattr(output, "content", output)))
            if getattr(output, "status", None) == "error":
                span.set_status(Status(StatusCode.ERROR, "the tool said so"))
            span.end()

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        span = self._close(run_id)
        if span is not None and isinstance(error, GraphBubbleUp):
            # It asked a person, or handed over: no failure.
            span.end()
        elif span is not None:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            span.end()

    def _close(self, run_id: UUID) -> Span | None:
        span, token = self._under_way.pop(run_id, (None, None))
        if token is not None:
            try:
                token.var.reset(token)
            except ValueError:
                pass  # told in another context than the one it began in, which has gone
        return span
