"""The trace context, in and out of W3C's text form. Side: both."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from perdure.contract.trace import TraceContext

__all__ = ["attached", "calling", "context_of", "current_trace", "starting"]

_W3C = TraceContextTextMapPropagator()


def current_trace() -> TraceContext | None:
    """Of the code under way; `None` where nothing is traced."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    parent = carrier.get("traceparent")
    return None if parent is None else TraceContext(parent, carrier.get("tracestate", ""))


def context_of(parent: str, state: str = "") -> Context:
    """The context with that span as the current one; "" is for none."""
    return _W3C.extract({"traceparent": parent, "tracestate": state}, Context())


@contextmanager
def attached(headers: Mapping[str, str]) -> Generator[None]:
    """For the block, the context that a request's headers name; the one there is where they name none."""
    token = context.attach(_W3C.extract(headers, context.get_current()))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def starting(
    graph: str, thread_id: str, provider: trace.TracerProvider | None = None
) -> Generator[TraceContext | None]:
    """A client's span around the start of a run, and the context for the run."""
    with calling(f"start {graph}", thread_id, provider, **{"perdure.graph": graph}) as context:
        yield context


@contextmanager
def calling(
    name: str, thread_id: str, provider: trace.TracerProvider | None = None, **attributes: str
) -> Generator[TraceContext | None]:
    """A client's span around what it asks of a thread, and its context."""
    tracer = trace.get_tracer("perdure", tracer_provider=provider)
    told = {"gen_ai.conversation.id": thread_id, **attributes}
    with tracer.start_as_current_span(name, kind=trace.SpanKind.CLIENT, attributes=told):
        yield current_trace()
