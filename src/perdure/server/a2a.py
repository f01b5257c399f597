"""Agent2Agent: an assistant as an agent, a thread as a context, a run as a task. Side: server; the routes are in `routes/a2a.py`.

| A2A | here |
|---|---|
| `contextId` | the thread; it is made where there is none, and stays |
| task | a run; its id is `THREAD:RUN` |
| text parts; data parts | a user's message; other fields of the graph's input |
| `input-required` | the run asked something; the next message in the context is the answer (a data part as it is) |

Not here: push notifications, files.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from perdure.contract.run import RunRecord, RunsRequest
from perdure.contract.state import HistoryRequest
from perdure.errors import ThreadNotFound
from perdure.server.access import check_thread
from perdure.server.agents import Outcome, asks, outcome_of
from perdure.server.backend import Backend
from perdure.server.bodies import RunCreate
from perdure.server.jsonrpc import INVALID_PARAMS, RpcError, rpc_error
from perdure.server.runs import Started, run_result, start
from perdure.server.saying import Said
from perdure.server.streaming import events
from perdure.streams.wire import to_json

__all__ = ["Sending", "TaskRef", "cancel", "send", "started_by", "task_now", "telling"]

TASK_NOT_FOUND, TASK_NOT_CANCELABLE = -32001, -32002
_STATES = {
    "pending": "submitted",
    "running": "working",
    "success": "completed",
    "interrupted": "canceled",
    "error": "failed",
    "timeout": "failed",
}


class Part(BaseModel):
    kind: str = "text"
    text: str | None = None
    data: dict[str, Any] | None = None


class Message(BaseModel):
    parts: list[Part] = Field(min_length=1)
    messageId: str | None = None
    contextId: str | None = Field(default=None, min_length=1, max_length=150)
    taskId: str | None = None

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts if part.text is not None)

    @property
    def data(self) -> dict[str, Any]:
        return {key: item for part in self.parts for key, item in (part.data or {}).items()}


class Configuration(BaseModel):
    blocking: bool = True


class Sending(BaseModel):
    """The params of `message/send` and `message/stream`."""

    message: Message
    configuration: Configuration = Field(default_factory=Configuration)
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])


class TaskRef(BaseModel):
    """The params of `tasks/get`, `tasks/cancel` and `tasks/resubscribe`."""

    id: str


async def started_by(backend: Backend, assistant_id: str, sending: Sending) -> Started:
    """Start the run that a message stands for. Raises as `start`; RpcError for parts of another kind."""
    message = sending.message
    if any(part.text is None and part.data is None for part in message.parts):
        raise RpcError(INVALID_PARAMS, "message.parts: only text and data parts are taken")
    named = _of_task(message.taskId)[0] if message.taskId else None
    thread_id = message.contextId or named or str(uuid.uuid4())
    body: dict[str, Any] = {
        "assistant_id": assistant_id,
        "if_not_exists": "create",
        "metadata": sending.metadata,
        "stream_mode": ["messages-tuple", "values"],
    }
    if (message.contextId or named) and await asks(backend, thread_id):
        body["command"] = {"resume": message.data or message.text}
    else:
        said = [{"role": "user", "content": message.text}] if message.text else []
        body["input"] = {**message.data, **({"messages": said} if said else {})}
    return await start(backend, thread_id, RunCreate.model_validate(body))


async def send(backend: Backend, assistant_id: str, sending: Sending) -> dict[str, Any]:
    """The task: at its end, or as it starts where the client does not want to wait."""
    started = await started_by(backend, assistant_id, sending)
    if not sending.configuration.blocking:
        return _task(started, "submitted")
    return _ended(started, outcome_of(await run_result(backend, started)))


async def task_now(backend: Backend, task: str) -> dict[str, Any]:
    started, run = await _found(backend, task, "read")
    if run.status not in ("success", "error"):
        return _task(started, _STATES.get(run.status, "unknown"))
    if run.error is not None:
        return _ended(started, outcome_of({"__error__": run.error}))
    [latest] = await backend.threads.runs(started.thread_id, RunsRequest(limit=1))
    if latest.id != run.id:  # what it left is the next one's beginning
        return _task(started, "completed")
    found = await backend.threads.history(started.thread_id, HistoryRequest(limit=1))
    asked = (
        [{"id": item.id, "value": item.value} for one in found[0].tasks for item in one.interrupts]
        if found
        else []
    )
    return _ended(started, Outcome(json.loads(to_json(found[0].values if found else {})), asked))


async def cancel(backend: Backend, task: str) -> dict[str, Any]:
    started, _ = await _found(backend, task, "update")
    if not await backend.threads.cancel(started.thread_id, started.run_id, wait=True):
        raise RpcError(TASK_NOT_CANCELABLE, "the task is over")
    return _task(started, "canceled")


async def telling(
    backend: Backend, id: str | int | None, started: Started, *, joined: bool = False
) -> AsyncGenerator[bytes]:
    """The body of a stream: the task, the text as an artifact that grows, and how it ends."""
    said, artifact = Said(), str(uuid.uuid4())
    place = {"taskId": _id(started), "contextId": started.thread_id}

    def written(result: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode() + b"\n\n"

    def piece(text: str, *, append: bool, last: bool = False) -> bytes:
        parts = [{"kind": "text", "text": text}]
        whole = {"artifactId": artifact, "name": "response", "parts": parts}
        return written(
            {"kind": "artifact-update", **place, "artifact": whole, "append": append, "lastChunk": last}
        )

    yield written(_task(started, "working" if joined else "submitted"))
    told = events(backend, started, joined=joined)
    any_text = False
    async with aclosing(told):
        async for event in told:
            if text := said.more(event):
                yield piece(text, append=any_text)
                any_text = True
            elif event.startswith(b":"):
                yield b": still there\n\n"
    try:
        outcome = outcome_of(await run_result(backend, started))
    except ThreadNotFound as error:
        yield b"data: " + json.dumps(rpc_error(id, error)).encode() + b"\n\n"
        return
    ended = _ended(started, outcome)
    if ended["status"]["state"] == "completed" and not any_text:
        yield piece(outcome.text, append=False, last=True)
    yield written({"kind": "status-update", **place, "status": ended["status"], "final": True})


async def _found(backend: Backend, task: str, action: str) -> tuple[Started, RunRecord]:
    """Raises RpcError for a task that is not there, or another's."""
    thread_id, run_id = _of_task(task)
    filters = await backend.caller.allow("threads", action, {"thread_id": thread_id, "run_id": run_id})
    try:
        if filters:
            await check_thread(backend, thread_id, filters)
        return Started(thread_id, run_id), await backend.threads.run(thread_id, run_id)
    except (ThreadNotFound, HTTPException):
        raise RpcError(TASK_NOT_FOUND, f"no task {task!r} here") from None


def _id(started: Started) -> str:
    return f"{started.thread_id}:{started.run_id}"


def _of_task(task: str) -> tuple[str, str]:
    thread_id, _, run_id = task.rpartition(":")
    if not thread_id:
        raise RpcError(TASK_NOT_FOUND, f"no task {task!r} here")
    return thread_id, run_id


def _ended(started: Started, outcome: Outcome) -> dict[str, Any]:
    if outcome.failed is not None:
        return _task(started, "failed", outcome.text)
    if outcome.asked:
        return _task(started, "input-required", outcome.text, asked=outcome.asked)
    parts: list[dict[str, Any]] = [{"kind": "text", "text": outcome.text}]
    if isinstance(outcome.values, dict) and "messages" not in outcome.values:
        parts = [{"kind": "data", "data": outcome.values}]
    artifact = {"artifactId": started.run_id, "name": "response", "parts": parts}
    return {**_task(started, "completed"), "artifacts": [artifact]}


def _task(
    started: Started, state: str, text: str | None = None, *, asked: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    status: dict[str, Any] = {"state": state, "timestamp": datetime.now(UTC).isoformat()}
    if text is not None:
        parts: list[dict[str, Any]] = [{"kind": "text", "text": text}]
        if asked:
            parts.append({"kind": "data", "data": {"interrupts": asked}})
        status["message"] = {
            "kind": "message",
            "role": "agent",
            "messageId": f"{started.run_id}-{state}",
            "contextId": started.thread_id,
            "taskId": _id(started),
            "parts": parts,
        }
    return {"kind": "task", "id": _id(started), "contextId": started.thread_id, "status": status}
