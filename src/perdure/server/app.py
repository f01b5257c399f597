"""The ASGI application: LangGraph's server API on Temporal.

Side: server. Stateless: all that it knows is in Temporal, in the store and in the broker, so any number of these serve the
same threads.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.common import MetricMeter

from perdure.server import errors
from perdure.server.authentication import Authenticator
from perdure.server.backend import Backend
from perdure.server.custom import behind, gates_of, mounted
from perdure.server.guard import Guard
from perdure.server.http_settings import HttpSettings
from perdure.server.request_metrics import RequestMetrics
from perdure.server.responses import ERRORS
from perdure.server.routes import (
    a2a,
    assistants,
    crons,
    mcp,
    openai,
    runs,
    store,
    system,
    thread_streams,
    threads,
)
from perdure.server.tracing import TraceHeaders

__all__ = ["create_app"]

_MOST_BYTES = 20_000_000


def create_app(
    backend: Backend,
    *,
    settings: HttpSettings | None = None,
    authenticator: Authenticator | None = None,
    custom: Starlette | None = None,
    most_bytes: int = _MOST_BYTES,
    meter: MetricMeter | None = None,
) -> Starlette:
    """Args:
    settings: the `http` section of `langgraph.json`.
    authenticator: without one, everybody may do everything.
    custom: the project's own application: it is changed, and returned, with the server's routes behind its own.
    most_bytes: larger request bodies are refused (413).
    meter: what requests are measured with.
    """
    settings = settings or HttpSettings()
    routers = _routers(settings)
    api = _api(backend, settings, routers)
    gates = gates_of(api, routers, custom, custom_too=settings.enable_custom_route_auth)
    guard = Middleware(
        Guard,
        backend=backend,
        gates=gates,
        authenticator=authenticator,
        headers=settings.configurable_headers.patterns,
    )
    layers = [
        *([] if meter is None else [Middleware(RequestMetrics, meter=meter)]),
        settings.cors.middleware(),
        Middleware(_BodyLimit, most_bytes=most_bytes),
        Middleware(TraceHeaders),
        guard,
    ]
    app = api if custom is None else behind(custom, api)
    first = 0 if settings.middleware_order == "auth_first" else len(app.user_middleware)
    app.user_middleware[first:first] = layers
    return mounted(app, api, settings.mount_prefix) if settings.mount_prefix else app


def _routers(settings: HttpSettings) -> list[APIRouter]:
    parts = [
        ("assistants", assistants),
        ("threads", threads),
        ("threads", thread_streams),
        ("crons", crons),
        ("runs", runs),
        ("store", store),
        ("mcp", mcp),
        ("a2a", a2a),
        ("openai", openai),
    ]
    meta = system.ok_only if settings.disable_meta else system.router
    return [meta, *(module.router for part, module in parts if not settings.disabled(part))]


def _api(backend: Backend, settings: HttpSettings, routers: list[APIRouter]) -> FastAPI:
    meta: dict[str, Any] = {"openapi_url": None} if settings.disable_meta else {}
    api = FastAPI(
        title="Perdure",
        version=version("perdure"),
        description="LangGraph's server API, on Temporal: runs survive whatever happens.",
        # Where traces are on, FastAPI has a span for each request; those inside it would hide the run's.
        telemetry={"operation_spans": False},
        **meta,
    )
    api.state.backend = backend
    errors.install(api)
    for router in routers:
        api.include_router(router, responses=ERRORS)
    return api


class _BodyLimit:
    """Refuses bodies that are too large, before they are read; also ones that do not tell their length."""

    def __init__(self, app: ASGIApp, *, most_bytes: int) -> None:
        self._app = app
        self._most = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            await _too_large(send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise errors.failed(413, f"the body is larger than {self._most} bytes")
            return message

        await self._app(scope, counted, send)


async def _too_large(send: Send) -> None:
    body = b'{"detail": "the body is too large"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
