"""`/threads/{id}/runs` and `/runs`. Side: server."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response
from pydantic import JsonValue

from perdure.contract.run import CancelAction, RunsRequest, ServedStatus
from perdure.server.answers import Run, told, told_stream
from perdure.server.backend import Server, Streamed, answer
from perdure.server.bodies import CancelMany, RunCreate
from perdure.server.errors import failed
from perdure.server.runs import Started, start, waiting
from perdure.server.shapes import run_shape, selected
from perdure.server.streaming import events, modes_of

__all__ = ["router"]

router = APIRouter(tags=["runs"])

_RESULT = "The values at its end, with `__interrupt__` where it asks, or `__error__` where it failed"
_CANCELLED = "It is being cancelled; 204 where `wait` is set: it is over"

LastEvent = Annotated[str | None, Header(alias="Last-Event-ID")]
Modes = Annotated[list[str] | None, Query()]


@router.post("/threads/{thread_id}/runs", **told(Run))
async def create_run(server: Server, thread_id: str, body: RunCreate) -> Response:
    return await _created(server, await start(server, thread_id, body))


@router.post("/threads/{thread_id}/runs/wait", **told(JsonValue, _RESULT))
async def wait_for_run(server: Server, thread_id: str, body: RunCreate) -> Response:
    return _waiting(server, await start(server, thread_id, body))


@router.post("/threads/{thread_id}/runs/stream", **told_stream())
async def stream_run(server: Server, thread_id: str, body: RunCreate) -> Response:
    return _streaming(server, await start(server, thread_id, body))


@router.post("/runs", **told(Run))
async def create_stateless(server: Server, body: RunCreate) -> Response:
    return await _created(server, await start(server, None, body))


@router.post("/runs/wait", **told(JsonValue, _RESULT))
async def wait_for_stateless(server: Server, body: RunCreate) -> Response:
    return _waiting(server, await start(server, None, body))


@router.post("/runs/stream", **told_stream())
async def stream_stateless(server: Server, body: RunCreate) -> Response:
    return _streaming(server, await start(server, None, body))


@router.post("/runs/batch", **told(list[Run]))
async def create_batch(server: Server, body: list[RunCreate]) -> Response:
    started = [await start(server, item.thread_id, item) for item in body]
    return answer([await _shape(server, item) for item in started])


@router.post("/runs/cancel", status_code=204)
async def cancel_many(server: Server, body: CancelMany, action: CancelAction = "interrupt") -> None:
    if body.status is None and (body.thread_id is None or body.run_ids is None):
        raise failed(422, "body: give 'status', or 'thread_id' and 'run_ids'")
    wanted = ("pending", "running") if body.status in (None, "all") else (body.status,)
    threads = [body.thread_id] if body.thread_id else await server.threads.busy()
    for thread_id in await server.own_threads(threads):
        for run in await server.threads.runs(thread_id, RunsRequest(limit=1000)):
            if run.status in wanted and (body.run_ids is None or run.id in body.run_ids):
                await server.threads.cancel(thread_id, run.id, action=action)


@router.get("/threads/{thread_id}/runs", **told(list[Run]))
async def list_runs(
    server: Server,
    thread_id: str,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    offset: Annotated[int, Query(ge=0)] = 0,
    status: ServedStatus | None = None,
    select: Modes = None,
) -> Response:
    found = await server.threads.runs(thread_id, RunsRequest(status=status, limit=limit, offset=offset))
    return answer([selected(run_shape(thread_id, run), select) for run in found])


@router.get("/threads/{thread_id}/runs/{run_id}", **told(Run))
async def get_run(server: Server, thread_id: str, run_id: str) -> Response:
    return answer(run_shape(thread_id, await server.threads.run(thread_id, run_id)))


@router.delete("/threads/{thread_id}/runs/{run_id}", status_code=204)
async def delete_run(server: Server, thread_id: str, run_id: str) -> None:
    await server.threads.forget_run(thread_id, run_id)


@router.post("/threads/{thread_id}/runs/{run_id}/cancel", **told(None, _CANCELLED, status=202, also=204))
async def cancel_run(
    server: Server,
    thread_id: str,
    run_id: str,
    wait: Literal["0", "1", "true", "false"] = "0",
    action: CancelAction = "interrupt",
) -> Response:
    waits = wait in ("1", "true")
    cancelled = await server.threads.cancel(thread_id, run_id, action=action, wait=waits)
    if not cancelled:
        raise failed(409, f"run {run_id} is over: nothing to cancel")
    return Response(status_code=204 if waits else 202)


@router.get("/threads/{thread_id}/runs/{run_id}/join", **told(JsonValue, _RESULT))
async def join_run(
    server: Server, thread_id: str, run_id: str, cancel_on_disconnect: bool = False
) -> Response:
    await server.threads.run(thread_id, run_id)
    return _waiting(server, Started(thread_id, run_id, cancel_on_disconnect=cancel_on_disconnect))


@router.get("/threads/{thread_id}/runs/{run_id}/stream", **told_stream())
async def join_stream(
    server: Server,
    thread_id: str,
    run_id: str,
    stream_mode: Modes = None,
    cancel_on_disconnect: bool = False,
    last_event_id: LastEvent = None,
) -> Response:
    await server.threads.run(thread_id, run_id)
    started = Started(thread_id, run_id, cancel_on_disconnect=cancel_on_disconnect)
    # Clients ask like this for all that there was.
    last_event_id = None if last_event_id == "-1" else last_event_id
    body = events(server, started, after=last_event_id, modes=modes_of(stream_mode or []), joined=True)
    return Streamed(body, media_type="text/event-stream", headers=started.headers("stream"))


async def _created(server: Server, started: Started) -> Response:
    return answer(await _shape(server, started), headers={"Content-Location": started.place})


async def _shape(server: Server, started: Started) -> dict[str, object]:
    return run_shape(started.thread_id, await server.threads.run(started.thread_id, started.run_id))


def _waiting(server: Server, started: Started) -> Response:
    return Streamed(waiting(server, started), media_type="application/json", headers=started.headers("join"))


def _streaming(server: Server, started: Started) -> Response:
    return Streamed(
        events(server, started),
        media_type="text/event-stream",
        headers={**started.headers("stream"), "Cache-Control": "no-store"},
    )
