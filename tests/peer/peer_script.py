"""What a scenario works with, and how what it notes is made comparable."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
from langgraph_sdk.client import LangGraphClient

__all__ = ["Script", "comparable"]

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID = re.compile(rf"{_UUID}|(?<![0-9a-f])[0-9a-f]{{32}}(?![0-9a-f])")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?")
_PATIENCE_SECONDS = 30
# Where, in which version, for whom and with whose tracing a server runs; no client reads it.
_OF_THE_SERVER = frozenset(
    (
        "langgraph_api_url",
        "langgraph_api_version",
        "langgraph_auth_permissions",
        "langgraph_auth_user",
        "langgraph_auth_user_id",
        "langgraph_host",
        "langgraph_plan",
        "langgraph_request_id",
        "langgraph_version",
        "langsmith_session_name",
        "lc_versions",
        "run_attempt",
        "user_id",
        "__after_seconds__",
        "__request_start_time_ms__",
    )
)
# Of a checkpoint's metadata; what else is there is the run's (a row of docs/server.md).
_OF_A_CHECKPOINT = ("source", "step", "parents")


class Script:
    """`tag` is this scenario's own, to find what it made."""

    def __init__(self, client: LangGraphClient, http: httpx.AsyncClient) -> None:
        self.client = client
        self.http = http
        self.tag = uuid.uuid4().hex
        self.notes: list[tuple[str, Any]] = []

    def note(self, what: str, value: Any) -> None:
        self.notes.append((what, value))

    async def refused(self, what: str, call: Awaitable[Any]) -> None:
        """Note the status that a call of the SDK fails with."""
        try:
            value = await call
        except httpx.HTTPStatusError as error:
            self.note(what, {"status": error.response.status_code})
        except Exception as error:
            status = getattr(error, "status_code", None)
            self.note(what, {"status": status} if status else {"error": type(error).__name__})
        else:
            self.note(what, {"status": "no error", "value": value})

    async def stream(self, what: str, *args: Any, **options: Any) -> list[Any]:
        """Note the events of `runs.stream`."""
        parts = [[p.event, p.data] async for p in self.client.runs.stream(*args, **options)]
        self.note(what, parts)
        return parts

    async def thread(self, **options: Any) -> str:
        return (await self.client.threads.create(**options))["thread_id"]

    async def until(self, call: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
        """Lists lag a little, and runs take their time."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not wanted(found := await call()):  # noqa: ASYNC110 - the server changes it
                await asyncio.sleep(0.05)
        return found

    async def status(self, thread: str, run: str, *statuses: str) -> Any:
        return await self.until(
            lambda: self.client.runs.get(thread, run), lambda run: run["status"] in statuses
        )


def comparable(notes: list[tuple[str, Any]]) -> list[list[Any]]:
    """Ids by the order in which a note has them, times as such, and without what a server says of itself."""
    return [[what, _walked(value, {})] for what, value in notes]


def _walked(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        named = _ID.sub(lambda found: ids.setdefault(found[0], f"<{len(ids) + 1}>"), value)
        return _TIME.sub("<time>", named)
    if isinstance(value, Mapping):
        kept = set(_OF_A_CHECKPOINT) if {"source", "step"} <= set(value) else set(value) - _OF_THE_SERVER
        return {_walked(str(key), ids): _walked(value[key], ids) for key in sorted(kept & set(value))}
    if isinstance(value, list | tuple):
        return [_walked(item, ids) for item in value]
    return value
