"""What the OpenAPI document says of answers, so that clients made from it have types.

Side: server. Descriptions only: nothing is checked against them while the server runs; `tests/sdk/test_http_schema.py` does.
Where a request names fields in `select`, those that it leaves out are absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, JsonValue

from perdure.contract.run import MultitaskStrategy, ServedStatus

__all__ = [
    "JSON_OBJECT",
    "RPC_BODY",
    "Assistant",
    "AssistantVersion",
    "Checkpoint",
    "CheckpointMade",
    "Command",
    "Cron",
    "DrawnGraph",
    "GraphSchemas",
    "Info",
    "Item",
    "Items",
    "NamedSchemas",
    "Namespaces",
    "Ok",
    "OpenAiProblem",
    "Pruned",
    "RpcAnswer",
    "Run",
    "State",
    "Thread",
    "problems",
    "told",
    "told_as",
    "told_stream",
]

Schema = dict[str, JsonValue] | None


class Interrupt(BaseModel):
    id: str
    value: JsonValue


class Checkpoint(BaseModel):
    thread_id: str
    checkpoint_id: str | None
    checkpoint_ns: str


class Thread(BaseModel):
    """`interrupts` by task; in lists, there are none."""

    thread_id: str
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime
    metadata: dict[str, JsonValue]
    config: dict[str, JsonValue]
    status: Literal["idle", "busy", "interrupted", "error"]
    values: JsonValue
    interrupts: dict[str, list[Interrupt]]
    extracted: dict[str, JsonValue] | None = None


class Pruned(BaseModel):
    pruned_count: int


class Task(BaseModel):
    id: str
    name: str
    error: str | None
    interrupts: list[Interrupt]
    checkpoint: Checkpoint | None
    state: State | None
    result: JsonValue


class State(BaseModel):
    """Of a thread on which nothing has run, most is null."""

    values: JsonValue
    next: list[str]
    tasks: list[Task]
    metadata: dict[str, JsonValue] | None
    created_at: str | None
    checkpoint: Checkpoint | None
    parent_checkpoint: Checkpoint | None
    interrupts: list[Interrupt]
    checkpoint_id: str | None
    parent_checkpoint_id: str | None


class CheckpointMade(BaseModel):
    checkpoint: Checkpoint
    configurable: Checkpoint
    checkpoint_id: str


class RunError(BaseModel):
    error: str
    message: str


class Run(BaseModel):
    run_id: str
    thread_id: str
    assistant_id: str
    created_at: datetime
    updated_at: datetime
    status: ServedStatus
    metadata: dict[str, JsonValue]
    kwargs: dict[str, JsonValue]
    multitask_strategy: MultitaskStrategy
    error: RunError | None = None


class AssistantVersion(BaseModel):
    assistant_id: str
    graph_id: str
    config: dict[str, JsonValue]
    context: dict[str, JsonValue] | None
    metadata: dict[str, JsonValue]
    name: str
    description: str | None
    created_at: datetime
    version: int


class Assistant(AssistantVersion):
    updated_at: datetime


class DrawnGraph(BaseModel):
    nodes: list[dict[str, JsonValue]]
    edges: list[dict[str, JsonValue]]


class NamedSchemas(BaseModel):
    """Null for what has no JSON form."""

    input_schema: Schema
    output_schema: Schema
    state_schema: Schema
    config_schema: Schema
    context_schema: Schema


class GraphSchemas(NamedSchemas):
    graph_id: str


class Cron(BaseModel):
    cron_id: str
    assistant_id: str
    thread_id: str | None
    on_run_completed: Literal["delete", "keep"] | None
    end_time: datetime | None
    schedule: str
    timezone: str | None
    created_at: datetime
    updated_at: datetime
    user_id: str | None
    payload: dict[str, JsonValue]
    next_run_date: datetime | None
    metadata: dict[str, JsonValue]
    enabled: bool


class Item(BaseModel):
    """`score`: of a search that found it by its meaning."""

    namespace: list[str]
    key: str
    value: dict[str, JsonValue]
    created_at: datetime
    updated_at: datetime
    score: float | None = None


class Items(BaseModel):
    items: list[Item]


class Namespaces(BaseModel):
    namespaces: list[list[str]]


class Command(BaseModel):
    """An answer of the agent protocol: `result` and `meta`, or `error` and `message`."""

    type: Literal["success", "error"]
    id: int
    result: dict[str, JsonValue] | None = None
    meta: dict[str, JsonValue] | None = None
    error: str | None = None
    message: str | None = None


class Host(BaseModel):
    kind: str


class Info(BaseModel):
    version: str
    langgraph_py_version: str
    flags: dict[str, bool]
    host: Host


class Ok(BaseModel):
    ok: bool


class RpcAnswer(BaseModel):
    """JSON-RPC 2.0: a `result` or an `error`."""

    jsonrpc: Literal["2.0"]
    id: str | int | float | None
    result: dict[str, JsonValue] | None = None
    error: dict[str, JsonValue] | None = None


class OpenAiProblem(BaseModel):
    """Errors in OpenAI's shape."""

    error: dict[str, JsonValue]


JSON_OBJECT: dict[str, Any] = {"type": "object"}
_RPC_CALL: dict[str, Any] = {
    "type": "object",
    "required": ["jsonrpc", "method"],
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "method": {"type": "string"},
        "params": {"type": "object"},
    },
}
RPC_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _RPC_CALL}}}
}
"""What routes of JSON-RPC take: they read their bodies themselves."""


def told(
    model: Any,
    description: str = "Done",
    *,
    status: int = 200,
    also: int | None = None,
    but: Mapping[int, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Arguments of a route.

    Args:
        model: its answer, as JSON; `None` where it has no body.
        also: a status without a body, which it may have instead.
        but: responses, by status, that are not as everywhere.
    """
    shape = {} if model is None else {"model": model}
    responses: dict[int, Any] = {status: {**shape, "description": description}, **but}
    if also is not None:
        responses[also] = {"description": "Done; nothing more to say"}
    silent = {"response_class": Response} if model is None else {}
    return {"status_code": status, "responses": responses, **silent}


def told_as(media_type: str, description: str) -> dict[str, Any]:
    """Arguments of a route: an answer that is text."""
    content = {media_type: {"schema": {"type": "string"}}}
    return {
        "response_class": Response,
        "responses": {200: {"content": content, "description": description}},
    }


def problems(model: Any, *statuses: int) -> dict[int, dict[str, Any]]:
    """Responses of a route whose errors have a shape of their own."""
    return {status: {"model": model, "description": "Refused"} for status in statuses}


def told_stream(*, or_json: Any = None, but: Mapping[int, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Arguments of a route whose answer are server-sent events; or JSON, where the request wants that."""
    content: dict[str, Any] = {"text/event-stream": {}}
    if or_json is not None:
        content["application/json"] = {"schema": or_json}
    return {
        "response_class": StreamingResponse,
        "responses": {200: {"content": content, "description": "Events, as they come"}, **but},
    }
