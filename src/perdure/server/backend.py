"""What the routes work with: one object, made by whoever starts the server. Side: server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from copy import copy
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends
from fastapi.responses import Response, StreamingResponse
from langgraph.store.base import BaseStore
from starlette.requests import HTTPConnection
from starlette.types import Send

from perdure.client.client import PerdureClient
from perdure.errors import ThreadNotFound
from perdure.graph.project_ttl import ThreadTtl
from perdure.graph.registry import GraphRegistry
from perdure.graph.webhook_policy import WebhookPolicy
from perdure.server.assistants import Assistants
from perdure.server.caller import ANYBODY, Caller
from perdure.server.crons import Crons
from perdure.server.errors import failed
from perdure.server.filters import matches
from perdure.server.threads import ServedThreads
from perdure.storage.store import WorkerStore
from perdure.streams.broker import Broker
from perdure.streams.wire import to_json

__all__ = ["CALLER", "Backend", "Server", "Streamed", "answer"]

_log = logging.getLogger(__name__)

CALLER = "perdure.caller"
"""Where the guard leaves, in a request's scope, who asks."""


@dataclass
class Backend:
    """`client` is connected with the plugin that has the graphs, so that it can read what threads hold. Without a `broker`,
    streams tell how runs end and nothing before. `caller` is who asks: a route's own backend knows. `metrics` is the URL of
    this process's metrics."""

    client: PerdureClient
    registry: GraphRegistry
    stores: WorkerStore
    broker: Broker | None = None
    caller: Caller = ANYBODY
    webhooks: WebhookPolicy = field(default_factory=WebhookPolicy)
    ttl: ThreadTtl | None = None
    metrics: str | None = None
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])

    def __post_init__(self) -> None:
        self.threads = ServedThreads(self.client, ttl=self.ttl)
        self.assistants = Assistants(self.registry, self.stores)
        self.crons = Crons(self.client)

    @property
    def store(self) -> BaseStore:
        store = self.stores.current
        if store is None:
            raise failed(501, "this server has no store: set PERDURE_STORE")
        return store

    def asked_by(self, caller: Caller) -> Backend:
        """The same backend, as one caller's."""
        own = copy(self)
        own.caller = caller
        return own

    async def own_threads(self, thread_ids: list[str]) -> list[str]:
        """Those that the caller's filters let be. Raises ThreadNotFound."""
        if not self.caller.filters:
            return thread_ids
        lines = [await self.threads.line(thread_id) for thread_id in thread_ids]
        return [line.thread_id for line in lines if matches(line.metadata, self.caller.filters)]

    async def is_interrupted(self, thread_id: str) -> bool:
        """Whether the thread asks something; not for one that is not there, or another's."""
        try:
            return bool(await self.own_threads([thread_id])) and bool(
                (await self.threads.state(thread_id)).interrupts
            )
        except ThreadNotFound:
            return False

    def go(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do it even when who asked for it is gone."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.info("work without anybody waiting for it failed: %r", error)


async def _backend(request: HTTPConnection) -> Backend:
    # Not for awaiting anything: FastAPI asks functions that are not async in another thread.
    backend: Backend = request.app.state.backend
    return backend.asked_by(request.scope.get(CALLER, ANYBODY))


Server = Annotated[Backend, Depends(_backend)]


class Streamed(StreamingResponse):
    """A body that is made as it goes; it is closed at once when the client goes away, wherever it stands then."""

    def __init__(self, body: AsyncGenerator[bytes], *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(body, media_type=media_type, headers=headers)
        self._body = body

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            await self._body.aclose()


def answer(value: Any, *, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """JSON, as LangGraph's clients read it."""
    return Response(to_json(value), status, media_type="application/json", headers=headers)
