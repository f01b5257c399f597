"""Crons, as Temporal Schedules: made, changed, found, deleted.

Side: server. Stateless: a schedule holds all of its cron. Temporal fires it, with or without this server.

Not guaranteed: that a cron which was just made is found by a search at once; and that its assistant's later versions count: a
cron has its assistant as it was when the cron was made or changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from perdure.client.client import PerdureClient
from perdure.contract import names
from perdure.contract.cron import CronJob
from perdure.server.errors import failed, not_found
from perdure.storage.external import sendable

__all__ = ["Crons", "cron_expressions", "cron_shape"]

_PREFIX = "perdure-cron-"
# One that was missed is made up for when everybody is back, once: the others find it waiting.
_CATCH_UP = timedelta(hours=1)
_AT_A_TIME = 20


class Crons:
    """In the shape of LangGraph's server."""

    def __init__(self, client: PerdureClient) -> None:
        self._client = client

    async def create(self, job: CronJob, *, enabled: bool) -> dict[str, Any]:
        """Raises 409 where the id is taken."""
        try:
            handle = await self._client.temporal.create_schedule(
                _PREFIX + job.cron_id, self._schedule(job, enabled=enabled)
            )
        except ScheduleAlreadyRunningError as error:
            raise failed(409, f"Cron with ID {job.cron_id} already exists") from error
        return cron_shape(job, await handle.describe())

    async def get(self, cron_id: str) -> tuple[CronJob, ScheduleDescription]:
        """Raises 404."""
        try:
            description = await self._handle(cron_id).describe()
        except RPCError as error:
            raise _known(error, cron_id) from error
        return await self._job(description), description

    async def update(self, job: CronJob, *, enabled: bool | None) -> dict[str, Any]:
        """Put another job in the place of the one of its id. Raises 404."""

        def changed(before: ScheduleUpdateInput) -> ScheduleUpdate:
            paused = before.description.schedule.state.paused
            return ScheduleUpdate(self._schedule(job, enabled=(not paused) if enabled is None else enabled))

        handle = self._handle(job.cron_id)
        try:
            await handle.update(changed)
            return cron_shape(job, await handle.describe())
        except RPCError as error:
            raise _known(error, job.cron_id) from error

    async def delete(self, cron_id: str) -> None:
        """Its runs stay. Raises 404."""
        try:
            await self._handle(cron_id).delete()
        except RPCError as error:
            raise _known(error, cron_id) from error

    async def all(self) -> list[tuple[CronJob, ScheduleDescription]]:
        """Every cron that there is."""
        gate = asyncio.Semaphore(_AT_A_TIME)

        async def one(cron_id: str) -> tuple[CronJob, ScheduleDescription] | None:
            async with gate:
                try:
                    description = await self._handle(cron_id).describe()
                except RPCError as error:
                    if error.status == RPCStatusCode.NOT_FOUND:  # deleted meanwhile
                        return None
                    raise
                return await self._job(description), description

        found = await asyncio.gather(*[one(cron_id) async for cron_id in self._ids()])
        return [item for item in found if item is not None]

    async def _ids(self) -> AsyncIterator[str]:
        async for entry in await self._client.temporal.list_schedules():
            if entry.id.startswith(_PREFIX):
                yield entry.id.removeprefix(_PREFIX)

    def _handle(self, cron_id: str) -> ScheduleHandle:
        return self._client.temporal.get_schedule_handle(_PREFIX + cron_id)

    async def _job(self, description: ScheduleDescription) -> CronJob:
        action = description.schedule.action
        if not isinstance(action, ScheduleActionStartWorkflow):
            raise failed(404, f"schedule {description.id!r} is not a cron")
        [job] = await self._client.temporal.data_converter.decode([*action.args], [CronJob])
        return job

    def _schedule(self, job: CronJob, *, enabled: bool) -> Schedule:
        ends = datetime.fromisoformat(job.end_time) if job.end_time else None
        sent = sendable(
            job, f"the cron's input of graph {job.request.graph!r}", self._client.temporal.data_converter
        )
        return Schedule(
            action=ScheduleActionStartWorkflow(
                names.CRON_WORKFLOW,
                sent,
                id=_PREFIX + job.cron_id,
                task_queue=self._client.task_queue,
                static_summary=f"cron {job.schedule} of {job.request.graph}",
            ),
            spec=ScheduleSpec(
                cron_expressions=cron_expressions(job.schedule), time_zone_name=job.timezone, end_at=ends
            ),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=_CATCH_UP),
            state=ScheduleState(paused=not enabled, note=f"{job.request.graph}: {job.schedule}"),
        )


def cron_expressions(schedule: str) -> list[str]:
    """What Temporal is given. Where both the day of the month and that of the week are named, cron means either of them, and
    Temporal both.

    Raises:
        ValueError: for what is no cron expression.
    """
    if schedule.startswith("@"):
        return [schedule]
    fields = schedule.split()
    if len(fields) != 5:
        raise ValueError("five fields are needed (minute, hour, day of the month, month, day of the week)")
    minute, hour, day, month, weekday = fields
    if day[0] in "*?" or weekday[0] in "*?":
        return [schedule]
    return [f"{minute} {hour} {day} {month} *", f"{minute} {hour} * {month} {weekday}"]


def cron_shape(job: CronJob, description: ScheduleDescription) -> dict[str, Any]:
    paused = description.schedule.state.paused
    times = description.info.next_action_times
    return {
        "cron_id": job.cron_id,
        "assistant_id": job.assistant_id,
        "thread_id": job.thread_id,
        "on_run_completed": job.on_run_completed,
        "end_time": job.end_time,
        "schedule": job.schedule,
        "timezone": job.timezone,
        "created_at": datetime.fromtimestamp(job.created_at, UTC),
        "updated_at": datetime.fromtimestamp(job.updated_at, UTC),
        "user_id": None,
        "payload": job.payload,
        "next_run_date": times[0] if times and not paused else None,
        "metadata": job.metadata,
        "enabled": not paused,
    }


def _known(error: RPCError, cron_id: str) -> Exception:
    return not_found("Cron", cron_id) if error.status == RPCStatusCode.NOT_FOUND else error
