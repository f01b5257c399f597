"""The ASGI application: LangGraph's server API on Temporal.

Side: server. Stateless: all that it knows is in Temporal, in the store and in the broker, so any number of these serve the
same threads.
"""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.server import errors
from perdure.server.backend import Backend
from perdure.server.cors import Cors
from perdure.server.routes import assistants, crons, runs, store, system, threads

__all__ = ["create_app"]

_MOST_BYTES = 20_000_000


def create_app(backend: Backend, *, cors: Cors | None = None, most_bytes: int = _MOST_BYTES) -> FastAPI:
    """Args:
    cors: which web pages may use it; default: those of this machine.
    most_bytes: larger request bodies are refused (413).
    """
    app = FastAPI(
        title="Perdure",
        version=version("perdure"),
        description="LangGraph's server API, on Temporal: runs survive whatever happens.",
    )
    app.state.backend = backend
    errors.install(app)
    for module in (system, assistants, threads, crons, runs, store):
        app.include_router(module.router)
    app.add_middleware(_BodyLimit, most_bytes=most_bytes)
    (cors or Cors()).install(app)
    return app


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
