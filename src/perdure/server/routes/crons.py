"""`/runs/crons` and `/threads/{id}/runs/crons`. Side: server."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from temporalio.client import ScheduleDescription

from perdure.client.limits import limited
from perdure.contract.cron import CronJob
from perdure.contract.limits import RunLimits
from perdure.server.access import authorise_run, check_thread
from perdure.server.answers import Cron, told
from perdure.server.assistants import default_id
from perdure.server.backend import Backend, Server, answer
from perdure.server.caller import told_of
from perdure.server.cron_bodies import CronCount, CronCreate, CronPatch, CronSearch
from perdure.server.crons import cron_shape
from perdure.server.errors import not_found
from perdure.server.filters import matches
from perdure.server.runs import check_run, run_request
from perdure.server.shapes import page_of

__all__ = ["router"]

router = APIRouter(tags=["crons"])


@router.post("/runs/crons", **told(Cron))
async def create_cron(server: Server, body: CronCreate) -> Response:
    job = await _job(server, None, body.model_dump(mode="json", exclude_unset=True))
    return answer(await server.crons.create(job, enabled=body.enabled))


@router.post("/threads/{thread_id}/runs/crons", **told(Cron))
async def create_thread_cron(server: Server, thread_id: str, body: CronCreate) -> Response:
    job = await _job(server, thread_id, body.model_dump(mode="json", exclude_unset=True))
    return answer(await server.crons.create(job, enabled=body.enabled))


@router.post("/runs/crons/search", **told(list[Cron]))
async def search_crons(server: Server, body: CronSearch) -> Response:
    found = _ordered(await _found(server, body), body.sort_by or "created_at", body.sort_order)
    if "now" in (body.select or ()):
        now = datetime.now(UTC)
        found = [{**cron, "now": now} for cron in found]
    page, more = page_of(found, body.offset, body.limit, body.select)
    return answer(page, headers=more)


@router.post("/runs/crons/count", **told(int))
async def count_crons(server: Server, body: CronCount) -> Response:
    return answer(len(await _found(server, body)))


@router.get("/runs/crons/{cron_id}", **told(Cron))
async def get_cron(server: Server, cron_id: str) -> Response:
    return answer(cron_shape(*await _own(server, cron_id)))


@router.patch("/runs/crons/{cron_id}", **told(Cron))
async def update_cron(server: Server, cron_id: str, body: CronPatch) -> Response:
    known, _ = await _own(server, cron_id)
    changes = body.changes()
    if server.caller.auth is not None and "metadata" in changes:
        # What a handler writes there is no reason to forget the rest.
        changes["metadata"] = {**known.metadata, **changes["metadata"]}
    payload = {**known.payload, **changes}
    job = await _job(server, known.thread_id, payload, known)
    return answer(await server.crons.update(job, enabled=body.enabled))


@router.delete("/runs/crons/{cron_id}", status_code=204)
async def delete_cron(server: Server, cron_id: str) -> None:
    await _own(server, cron_id)
    await server.crons.delete(cron_id)


async def _own(server: Backend, cron_id: str) -> tuple[CronJob, ScheduleDescription]:
    """Raises 404, also for one that the caller's filters keep back."""
    job, description = await server.crons.get(cron_id)
    if not matches(job.metadata, server.caller.filters):
        raise not_found("Cron", cron_id)
    return job, description


async def _job(
    server: Backend, thread_id: str | None, payload: Mapping[str, Any], known: CronJob | None = None
) -> CronJob:
    """From a body, which is the payload of the cron from now on."""
    body = CronCreate.model_validate(payload)
    check_run(server, body)
    assistant = await server.assistants.get(body.assistant_id)
    body, filters = await authorise_run(server.caller, thread_id, assistant, body)
    since = known.request.thread_since if known else None
    if thread_id is not None and (filters or known is None):
        since = (await check_thread(server, thread_id, filters)).created_at
    if server.caller.auth is not None:
        payload = {**payload, "metadata": body.metadata}
    # It goes on running as whoever made it.
    told = server.caller.configurable() if known is None else told_of(known.request.config["configurable"])
    cron_id = known.cron_id if known else str(uuid.uuid4())
    request = run_request(assistant, thread_id or "", body, told)
    configurable = {**request.config["configurable"], "cron_id": cron_id}
    request = replace(
        limited(request, server.client.limits.overridden(RunLimits())),
        id="",
        thread_since=since,
        config={**request.config, "configurable": configurable},
        metadata={**request.metadata, "cron_id": cron_id},
    )
    completed = None if thread_id else body.on_run_completed or "delete"
    thread = await server.threads.new(body.metadata, temporary=completed == "delete")
    now = time.time()
    return CronJob(
        cron_id=cron_id,
        assistant_id=assistant["assistant_id"],
        schedule=body.schedule,
        request=request,
        thread=thread,
        thread_id=thread_id,
        timezone=body.timezone,
        end_time=body.end_time.isoformat() if body.end_time else None,
        on_run_completed=completed,
        metadata=body.metadata,
        payload=dict(payload),
        created_at=known.created_at if known else now,
        updated_at=now,
    )


def _ordered(found: list[dict[str, Any]], key: str, order: str | None) -> list[dict[str, Any]]:
    """Those that have nothing there come last, in either order."""

    def place(cron: Mapping[str, Any]) -> Any:
        return datetime.fromisoformat(cron[key]) if key == "end_time" else cron[key]

    there = [cron for cron in found if cron[key] is not None]
    there.sort(key=place, reverse=order != "asc")
    return [*there, *(cron for cron in found if cron[key] is None)]


async def _found(server: Backend, where: CronCount) -> list[dict[str, Any]]:
    wanted: dict[str, Any] = {"thread_id": where.thread_id, "enabled": where.enabled}
    name = where.assistant_id
    wanted["assistant_id"] = default_id(name) if name in set(server.registry) else name
    every = [cron_shape(*item) for item in await server.crons.all()]
    return [
        cron
        for cron in every
        if matches(cron["metadata"], server.caller.filters)
        and all(value is None or cron[key] == value for key, value in wanted.items())
        and all(cron["metadata"].get(key) == value for key, value in (where.metadata or {}).items())
    ]
