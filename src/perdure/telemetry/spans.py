"""Making spans: those that workflows tell of, under the ids that they have derived, and those of attempts.

Side: worker. A span is handed to the provider's processors when it ends; with a batching one, as `perdure worker` has it,
that is a place in a queue, so a collector that is slow or gone costs spans and never time.

Not guaranteed: that a span arrives, nor that it arrives once when a workflow task is made again in another process. It then
comes under the same id.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any, Protocol, cast

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer, TracerProvider

from perdure.contract.trace import EndedSpan
from perdure.telemetry.propagation import context_of

__all__ = ["Tracing", "tracing_of"]

_REMEMBERED = 10_000
_given: ContextVar[tuple[int, int] | None] = ContextVar("perdure_span_ids", default=None)


def tracing_of(provider: TracerProvider | None) -> Tracing | None:
    """With the provider, or OpenTelemetry's global one; `None` where that records nothing."""
    tracer = trace.get_tracer("perdure", version("perdure"), tracer_provider=provider)
    return Tracing(tracer) if hasattr(tracer, "id_generator") else None


class Tracing:
    """One per worker, safe to use from any thread."""

    def __init__(self, tracer: Tracer) -> None:
        # The provider makes a tracer for each who asks: no other's ids are touched.
        recording: Any = tracer
        recording.id_generator = _Ids(recording.id_generator)
        self.tracer = tracer
        self._sampler = recording.sampler
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, None] = OrderedDict()

    def sampled(self, trace_id: str, name: str) -> bool:
        """Whether a trace that begins here is recorded."""
        return self._sampler.should_sample(None, int(trace_id, 16), name).decision.is_sampled()

    def emit(self, ended: EndedSpan) -> None:
        """Record a workflow's span. One that comes again, as it does when a workflow task is made again, is dropped."""
        if self._is_known(ended.context):
            return
        links = [_link(ended.link, ended.linked)] if ended.link else []
        _, trace_id, span_id, _ = ended.context.split("-")
        token = _given.set((int(trace_id, 16), int(span_id, 16)))
        try:
            span = self.tracer.start_span(
                ended.name,
                context=context_of(ended.parent, ended.state),
                kind=SpanKind.INTERNAL,
                attributes=dict(ended.attributes),
                links=links,
                start_time=ended.started,
            )
        finally:
            _given.reset(token)
        if ended.error is not None:
            span.set_status(Status(StatusCode.ERROR, ended.error))
        span.end(end_time=ended.ended)

    def _is_known(self, context: str) -> bool:
        with self._lock:
            known = context in self._seen
            self._seen[context] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return known


def _link(parent: str, how: str) -> Link:
    return Link(trace.get_current_span(context_of(parent)).get_span_context(), {"perdure.link": how})


class _Generator(Protocol):
    def generate_span_id(self) -> int: ...
    def generate_trace_id(self) -> int: ...


class _Ids:
    """OpenTelemetry's `IdGenerator`, with ids that are given in advance."""

    def __init__(self, others: _Generator) -> None:
        self._others = others

    def generate_span_id(self) -> int:
        given = _given.get()
        return self._others.generate_span_id() if given is None else given[1]

    def generate_trace_id(self) -> int:
        given = _given.get()
        return self._others.generate_trace_id() if given is None else given[0]

    def is_trace_id_random(self) -> bool:
        is_random = cast("Any", getattr(self._others, "is_trace_id_random", None))
        return _given.get() is None and is_random is not None and bool(is_random())
