"""`/threads`. Side: server."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from perdure.contract import names
from perdure.contract.run import RunsRequest
from perdure.contract.state import HistoryRequest, StateUpdate, StateWrite, ThreadSnapshot
from perdure.errors import ThreadNotFound
from perdure.graph.project_ttl import ThreadTtl
from perdure.server.answers import CheckpointMade, Pruned, State, Thread, told
from perdure.server.backend import Backend, Server, answer
from perdure.server.bodies import (
    StateAt,
    StateBulk,
    StateSearch,
    StateWriteAs,
    Superstep,
    ThreadCount,
    ThreadCreate,
    ThreadPatch,
    ThreadPrune,
    ThreadSearch,
)
from perdure.server.errors import failed, invalid, not_found
from perdure.server.extraction import extracted
from perdure.server.filters import matches, quoted, visibility
from perdure.server.runs import command_of
from perdure.server.shapes import checkpoint, empty_state, selected, state_shape, thread_shape
from perdure.server.thread_stream import tell_state
from perdure.server.threads import ThreadLine
from perdure.streams.wire import to_json

__all__ = ["router"]

router = APIRouter(tags=["threads"])

# How many threads a search looks through for what visibility cannot filter by.
_MOST_LOOKED_AT = 10_000

Select = Annotated[list[str] | None, Query()]


@router.post("/threads", **told(Thread))
async def create_thread(server: Server, body: ThreadCreate) -> Response:
    thread_id = body.thread_id or str(uuid.uuid4())
    graph = str(body.metadata.get("graph_id") or "")
    if graph:
        server.registry.graph(graph)
    elif body.supersteps:
        raise invalid("body.supersteps", "name the graph that they are of: metadata.graph_id")
    ttl = ThreadTtl(body.ttl.ttl, body.ttl.strategy) if body.ttl else None
    made = await server.threads.create(thread_id, body.metadata, graph=graph, ttl=ttl)
    if made is not None and not body.supersteps:
        return answer(thread_shape(made))
    if made is not None:
        try:
            await server.threads.update_state(thread_id, _bulk(body.supersteps))
        except Exception:
            await server.threads.delete(thread_id)
            raise
    elif body.if_exists == "raise" or not matches(
        (await server.threads.line(thread_id)).metadata, server.caller.filters
    ):
        raise failed(409, f"Thread with ID {thread_id} already exists")
    return answer(await _thread(server, thread_id))


@router.post("/threads/search", **told(list[Thread]))
async def search_threads(server: Server, body: ThreadSearch) -> Response:
    where, rest = _filters(body)
    own = server.caller.filters
    where += visibility(own)
    if body.ids is not None:
        if not body.ids:
            return answer([])
        where.append(f"WorkflowId IN ({', '.join(map(quoted, body.ids))})")
    sorted_here = body.sort_by not in (None, "created_at") or body.sort_order == "asc"
    wanted = body.offset + body.limit
    lines: list[ThreadLine] = []
    looked_through = sorted_here or rest or own
    limit = _MOST_LOOKED_AT if looked_through else wanted
    skip = 0 if looked_through else body.offset
    async for line in server.threads.search(where, limit=limit, skip=skip):
        if _fits(line, rest) and matches(line.metadata, own):
            lines.append(line)
        if skip + len(lines) >= wanted and not sorted_here:
            break
    if sorted_here:
        key = {"state_updated_at": "updated_at"}.get(body.sort_by or "", body.sort_by or "created_at")
        lines.sort(key=lambda line: getattr(line, key), reverse=body.sort_order != "asc")
    page = lines[body.offset - skip : wanted - skip]
    more = {"X-Pagination-Next": str(wanted)} if skip + len(lines) >= wanted and page else None
    shapes = [selected(thread_shape(line), body.select) for line in page]
    if body.extract:
        found = [await _extracted(server, line, body.extract) for line in page]
        shapes = [{**shape, "extracted": values} for shape, values in zip(shapes, found, strict=True)]
    return answer(shapes, headers=more)


@router.post("/threads/count", **told(int))
async def count_threads(server: Server, body: ThreadCount) -> Response:
    where, rest = _filters(body)
    own = server.caller.filters
    if not rest and not own:
        return answer(await server.threads.count(where))
    found = server.threads.search([*where, *visibility(own)], limit=_MOST_LOOKED_AT)
    return answer(sum([_fits(line, rest) and matches(line.metadata, own) async for line in found]))


@router.post("/threads/prune", **told(Pruned))
async def prune_threads(server: Server, body: ThreadPrune) -> Response:
    if len(await server.own_threads(body.thread_ids)) < len(body.thread_ids):
        raise failed(404, "not all of these threads were found")
    pruned = 0
    for thread_id in body.thread_ids:
        with suppress(ThreadNotFound):
            if body.strategy == "delete":
                await _delete(server, thread_id)
            else:
                await server.threads.prune(thread_id)
            pruned += 1
    return answer({"pruned_count": pruned})


@router.get("/threads/{thread_id}", **told(Thread))
async def get_thread(server: Server, thread_id: str) -> Response:
    return answer(await _thread(server, thread_id))


@router.patch("/threads/{thread_id}", **told(Thread, also=204))
async def patch_thread(
    server: Server, thread_id: str, body: ThreadPatch, prefer: Annotated[str, Header()] = ""
) -> Response:
    await server.threads.merge_metadata(thread_id, body.metadata)
    if "return=minimal" in prefer:
        return Response(status_code=204)
    return answer(await _thread(server, thread_id, metadata=body.metadata))


@router.delete("/threads/{thread_id}", status_code=204)
async def delete_thread(server: Server, thread_id: str) -> None:
    await _delete(server, thread_id)


@router.post("/threads/{thread_id}/copy", **told(Thread))
async def copy_thread(server: Server, thread_id: str) -> Response:
    copied = str(uuid.uuid4())
    await server.caller.allow("threads", "create", {"thread_id": copied, "metadata": {}})
    snapshots = await server.threads.history(thread_id, HistoryRequest(limit=1))
    made = await server.threads.copy(thread_id, copied)
    return answer(thread_shape(made, snapshots[0] if snapshots else None))


@router.get("/threads/{thread_id}/state", **told(State))
async def get_state(
    server: Server, thread_id: str, select: Select = None, subgraphs: bool = False
) -> Response:
    request = HistoryRequest(limit=1, subgraphs=subgraphs)
    return answer(selected(await _state(server, thread_id, request), select))


@router.get("/threads/{thread_id}/state/{checkpoint_id}", **told(State))
async def get_state_at(
    server: Server, thread_id: str, checkpoint_id: str, select: Select = None, subgraphs: bool = False
) -> Response:
    request = HistoryRequest(limit=1, checkpoint_id=checkpoint_id, subgraphs=subgraphs)
    return answer(selected(await _state(server, thread_id, request), select))


@router.post("/threads/{thread_id}/state/checkpoint", **told(State))
async def get_state_at_checkpoint(server: Server, thread_id: str, body: StateAt) -> Response:
    at = body.checkpoint
    request = HistoryRequest(
        limit=1, checkpoint_id=at.checkpoint_id, namespace=at.checkpoint_ns, subgraphs=body.subgraphs
    )
    return answer(selected(await _state(server, thread_id, request), body.select))


@router.post("/threads/{thread_id}/state", **told(CheckpointMade))
async def update_state(server: Server, thread_id: str, body: StateWriteAs) -> Response:
    at = (body.checkpoint.checkpoint_id if body.checkpoint else None) or body.checkpoint_id
    made = await server.threads.update_state(
        thread_id, StateUpdate(body.values, as_node=body.as_node, checkpoint_id=at)
    )
    return await _updated(server, thread_id, made)


@router.post("/threads/{thread_id}/state/bulk", **told(CheckpointMade))
async def update_state_in_bulk(server: Server, thread_id: str, body: StateBulk) -> Response:
    made = await server.threads.update_state(thread_id, _bulk(body.supersteps))
    return await _updated(server, thread_id, made)


async def _updated(server: Backend, thread_id: str, made: str) -> Response:
    if server.broker is not None:
        tell_state(server.broker, thread_id, await _state(server, thread_id, HistoryRequest(limit=1)))
    place = checkpoint(thread_id, made, "")
    return answer({"checkpoint": place, "configurable": place, "checkpoint_id": made})


@router.get("/threads/{thread_id}/history", **told(list[State]))
async def get_history(
    server: Server,
    thread_id: str,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    before: str | None = None,
) -> Response:
    return answer(await _history(server, thread_id, HistoryRequest(limit=limit, before=before)))


@router.post("/threads/{thread_id}/history", **told(list[State]))
async def search_history(server: Server, thread_id: str, body: StateSearch) -> Response:
    before: Any = body.before
    if isinstance(before, dict):
        before = before.get("configurable", {}).get("checkpoint_id")
    elif before is not None and not isinstance(before, str):
        before = before.checkpoint_id
    namespace = body.checkpoint.checkpoint_ns if body.checkpoint else ""
    request = HistoryRequest(limit=body.limit, before=before, filter=body.metadata, namespace=namespace)
    return answer([selected(s, body.select) for s in await _history(server, thread_id, request)])


async def _delete(server: Backend, thread_id: str) -> None:
    await server.threads.delete(thread_id)
    if server.broker is not None:
        await server.broker.forget(thread_id)


async def _thread(
    server: Backend, thread_id: str, *, metadata: dict[str, Any] | None = None
) -> dict[str, Any]:
    line = await server.threads.line(thread_id)
    # One after the other: of several questions to a workflow that no worker holds, all but one wait for a second.
    snapshots = await server.threads.history(thread_id, HistoryRequest(limit=1))
    state = await server.threads.state(thread_id)
    shape = thread_shape(line, snapshots[0] if snapshots else None)
    # What the workflow says is newer than what lists show.
    known = state.metadata if state.metadata is not None else shape["metadata"]
    shape["metadata"] = {**known, **(metadata or {})}
    told = {item["id"] for items in shape["interrupts"].values() for item in items}
    for item in state.interrupts:
        if item.id not in told:  # not the graph's: a larger budget, say
            shape["interrupts"].setdefault(item.node, []).append({"id": item.id, "value": item.value})
    shape["status"] = {"running": "busy", "interrupted": "interrupted"}.get(
        state.status, "error" if state.error and snapshots else "idle"
    )
    if any(r.status == "pending" for r in await server.threads.runs(thread_id, RunsRequest(limit=1))):
        shape["status"] = "busy"
    return shape


def _bulk(supersteps: list[Superstep]) -> StateUpdate:
    steps = [
        [StateWrite(command_of(w.command) if w.command else w.values, w.as_node) for w in step.updates]
        for step in supersteps
    ]
    return StateUpdate(None, supersteps=steps)


async def _extracted(server: Backend, line: ThreadLine, paths: dict[str, str]) -> dict[str, Any]:
    snapshots = await server.threads.history(line.thread_id, HistoryRequest(limit=1))
    shape = thread_shape(line, snapshots[0] if snapshots else None)
    return extracted(orjson.loads(to_json(shape)), paths)


async def _state(server: Backend, thread_id: str, request: HistoryRequest) -> dict[str, Any]:
    found: list[ThreadSnapshot] = await server.threads.history(thread_id, request)
    if found:
        return state_shape(thread_id, found[0])
    if request.checkpoint_id:
        raise not_found("Checkpoint", request.checkpoint_id)
    return empty_state()


async def _history(server: Backend, thread_id: str, request: HistoryRequest) -> list[dict[str, Any]]:
    return [state_shape(thread_id, s) for s in await server.threads.history(thread_id, request)]


def _filters(body: ThreadCount) -> tuple[list[str], dict[str, Any]]:
    """What visibility can filter by, and what of the metadata has to be looked at."""
    if body.values:
        raise failed(422, "body.values: threads cannot be searched by their values")
    metadata = body.metadata or {}
    terms = names.metadata_terms(metadata)
    where = [f"{names.SEARCH_METADATA} = {quoted(term)}" for term in terms]
    if body.status:
        status = "running" if body.status == "busy" else body.status
        where.append(f"{names.SEARCH_STATUS} = {quoted(status)}")
    return where, metadata if len(terms) < len(metadata) else {}


def _fits(line: ThreadLine, metadata: dict[str, Any]) -> bool:
    return all(key in line.metadata and line.metadata[key] == value for key, value in metadata.items())
