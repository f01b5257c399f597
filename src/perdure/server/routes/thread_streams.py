"""`/threads/{id}/stream`, `/threads/{id}/commands`, `/threads/{id}/stream/events`. Side: server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from perdure.server.answers import Command, told, told_stream
from perdure.server.backend import Backend, Server, Streamed, answer
from perdure.server.errors import failed
from perdure.server.protocol import CommandRequest, obey
from perdure.server.protocol_events import EventsBody, protocol_events
from perdure.server.streaming import modes_of
from perdure.server.thread_stream import thread_events
from perdure.streams.broker import Broker

__all__ = ["router"]

router = APIRouter(tags=["threads"])

_MODES = ("run_modes", "lifecycle", "state_update")


@router.get("/threads/{thread_id}/stream", **told_stream())
async def join_thread(
    server: Server,
    thread_id: str,
    stream_mode: Annotated[list[str] | None, Query()] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    modes = modes_of(stream_mode or []) or ["run_modes"]
    for mode in modes:
        if mode not in _MODES:
            raise failed(422, f"query.stream_mode: no mode {mode!r} of threads: {', '.join(_MODES)}")
    broker = _broker(server)
    await server.threads.line(thread_id)
    return _streamed(thread_events(server, broker, thread_id, after=last_event_id, modes=modes))


@router.post("/threads/{thread_id}/commands", **told(Command))
async def command(server: Server, thread_id: str, body: CommandRequest) -> Response:
    return answer(await obey(server, thread_id, body))


@router.post("/threads/{thread_id}/stream/events", **told_stream())
async def stream_events(server: Server, thread_id: str, body: EventsBody) -> Response:
    """Also of a thread that is not there yet: clients listen before they start its first run."""
    return _streamed(protocol_events(server, _broker(server), thread_id, body))


def _broker(server: Backend) -> Broker:
    if server.broker is None:
        raise failed(501, "this server is not told what runs do: set PERDURE_BROKER, for its workers too")
    return server.broker


def _streamed(body: AsyncGenerator[bytes]) -> Response:
    return Streamed(body, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
