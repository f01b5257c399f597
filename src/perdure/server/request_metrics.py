"""How long requests wait for the beginning of their answer: `perdure_http_latency` by method, route and status. Side: server.

A stream's answer begins at once, however long it goes on. A route is told as it is declared (`/threads/{thread_id}/state`), so
there are as many as the server has; what leads nowhere is "none", and a custom application's own are told by their paths there.
"""

from __future__ import annotations

import time
from datetime import timedelta

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.common import MetricMeter

__all__ = ["RequestMetrics"]

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class RequestMetrics:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, meter: MetricMeter) -> None:
        self._app = app
        self._latency = meter.create_histogram_timedelta(
            "perdure_http_latency", "From a request to the beginning of its answer"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._record(scope, int(message["status"]), time.perf_counter() - begun)
            await send(message)

        try:
            await self._app(scope, receive, measured)
        except Exception:
            # Whoever is outside of this answers for it.
            self._record(scope, 500, time.perf_counter() - begun)
            raise

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None)
        about = {
            "method": scope["method"] if scope["method"] in _METHODS else "other",
            "route": str(route) if route else "none",
            "status": status,
        }
        self._latency.record(timedelta(seconds=seconds), about)
