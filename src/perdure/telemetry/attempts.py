"""The spans of one attempt of a node, and of what it calls.

Side: activities. While a node runs, its span is OpenTelemetry's current one, in its threads too, and while a tool runs the
tool's: what an instrumented HTTP client sends carries the trace along.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import ChatResult
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, use_span

from perdure._compat_models import ModelCall
from perdure.telemetry.models import answer_attributes, call_attributes
from perdure.telemetry.spans import Tracing
from perdure.telemetry.tools import ToolSpans

__all__ = ["AttemptSpans", "ModelSpan", "attempt_spans", "failed", "model_span", "tool_spans"]

_T = TypeVar("_T")


class AttemptSpans:
    """`content` tells that spans may say what was said."""

    def __init__(self, tracing: Tracing, thread_id: str, *, content: bool) -> None:
        self._tracer = tracing.tracer
        self._thread = {"gen_ai.conversation.id": thread_id}
        self._content = content
        self.tools = ToolSpans(self._tracer, self._thread, content=content)

    def model(self, call: ModelCall, name: str) -> ModelSpan:
        attributes = self._thread | call_attributes(call, name, content=self._content)
        span = self._tracer.start_span(f"chat {name}", kind=SpanKind.CLIENT, attributes=attributes)
        return ModelSpan(span, content=self._content)


attempt_spans: ContextVar[AttemptSpans | None] = ContextVar("perdure_attempt_spans", default=None)
"""Set around each attempt of a node whose run is traced."""


def tool_spans() -> Sequence[BaseCallbackHandler]:
    """What makes spans of the attempt's tool calls; nothing where it is not traced."""
    spans = attempt_spans.get()
    return () if spans is None else (spans.tools,)


def model_span(call: ModelCall, name: str) -> ModelSpan:
    spans = attempt_spans.get()
    return ModelSpan.none() if spans is None else spans.model(call, name)


class ModelSpan:
    """A model call's. Where nothing is traced it does nothing."""

    def __init__(self, span: Span, *, content: bool) -> None:
        self._span = span
        self._content = content

    @classmethod
    def none(cls) -> ModelSpan:
        return cls(trace.INVALID_SPAN, content=False)

    @contextmanager
    def around(self) -> Generator[None]:
        """The call, but for one that streams."""
        with self._ended(), self._current():
            yield

    def answered(self, result: ChatResult) -> None:
        if self._span.is_recording():
            self._span.set_attributes(answer_attributes(result, content=self._content))

    def stream(self, chunks: Iterator[_T], whole: Callable[[], ChatResult]) -> Generator[_T]:
        """The chunks of one that does; `whole` is the answer that they make, once they are there."""
        with self._ended():
            while True:
                # Not while whoever asked for the chunk has it: that is another's code.
                with self._current():
                    try:
                        chunk = next(chunks)
                    except StopIteration:
                        self.answered(whole())
                        return
                yield chunk

    async def astream(self, chunks: AsyncIterator[_T], whole: Callable[[], ChatResult]) -> AsyncIterator[_T]:
        with self._ended():
            while True:
                with self._current():
                    try:
                        chunk = await anext(chunks)
                    except StopAsyncIteration:
                        self.answered(whole())
                        return
                yield chunk

    @contextmanager
    def _current(self) -> Generator[None]:
        if not self._span.get_span_context().is_valid:
            yield
            return
        with use_span(self._span, record_exception=False, set_status_on_exception=False):
            yield

    @contextmanager
    def _ended(self) -> Generator[None]:
        try:
            yield
        except Exception as error:
            failed(self._span, error)
            raise
        finally:
            self._span.end()


def failed(span: Span, error: BaseException, said: str = "") -> None:
    """Mark a span. Without the error's text, unless somebody `said` what can be read by others: it may hold what was said."""
    kind = getattr(error, "type", None) or type(error).__name__
    span.set_attribute("error.type", str(kind))
    span.set_status(Status(StatusCode.ERROR, said or str(kind)))
