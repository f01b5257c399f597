"""The bodies of requests about crons, checked. Side: server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from perdure.contract.cron import OnRunCompleted
from perdure.server.bodies import Body, Metadata, RunCreate
from perdure.server.crons import cron_expressions

__all__ = ["CronCount", "CronCreate", "CronPatch", "CronSearch"]


class CronCreate(RunCreate):
    """A run, and when."""

    schedule: str = Field(min_length=1, max_length=200)
    timezone: str | None = None
    end_time: datetime | None = None
    enabled: bool = True
    on_run_completed: OnRunCompleted | None = None

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str) -> str:
        cron_expressions(value)
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (OSError, ValueError, KeyError) as error:
                raise ValueError(
                    f"no time zone {value!r}: write its IANA name, such as 'Europe/Berlin'"
                ) from error
        return value

    @field_validator("end_time")
    @classmethod
    def _with_zone(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class CronPatch(CronCreate):
    """What is given is changed; a null `end_time` takes it away."""

    assistant_id: str = ""
    schedule: str = "@daily"
    enabled: bool | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    clear_end_time: bool = Field(default=False, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _clears(cls, value: Any) -> Any:
        if isinstance(value, dict) and "end_time" in value and value["end_time"] is None:
            return {**cast("dict[str, Any]", value), "clear_end_time": True}
        return value

    def changes(self) -> dict[str, Any]:
        given = self.model_dump(mode="json", exclude_unset=True)
        given.pop("assistant_id", None)
        return {**given, "end_time": None} if self.clear_end_time else given


class CronCount(Body):
    assistant_id: str | None = None
    thread_id: str | None = None
    enabled: bool | None = None
    metadata: Metadata | None = None


class CronSearch(CronCount):
    limit: int = Field(default=10, ge=1, le=1000)
    offset: int = Field(default=0, ge=0)
    sort_by: (
        Literal[
            "cron_id", "assistant_id", "thread_id", "created_at", "updated_at", "next_run_date", "end_time"
        ]
        | None
    ) = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None
