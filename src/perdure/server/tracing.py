"""Traces that come with a request, in W3C's headers: a run that it starts goes on with them. Side: server."""

from __future__ import annotations

from opentelemetry import trace
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure.telemetry.propagation import attached

__all__ = ["TraceHeaders"]


class TraceHeaders:
    """ASGI middleware. Where an instrumentation has begun a span for the request, that one stays the current one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or trace.get_current_span().get_span_context().is_valid:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with attached(headers):
            await self._app(scope, receive, send)
