"""`/a2a/{assistant_id}`: assistants as A2A agents (protocol 0.3, JSON-RPC), and their cards. Side: server."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import JsonValue

from perdure.server.a2a import Sending, TaskRef, cancel, send, started_by, task_now, telling
from perdure.server.answers import JSON_OBJECT, RPC_BODY, RpcAnswer, problems, told, told_stream
from perdure.server.backend import Backend, Server, Streamed, answer
from perdure.server.errors import failed, not_found
from perdure.server.filters import matches
from perdure.server.jsonrpc import EXPECTED, METHOD_NOT_FOUND, Call, RpcError, called, replied, rpc_error
from perdure.server.runs import Started

__all__ = ["router"]

router = APIRouter(tags=["a2a"])

_MODES = ["text/plain", "application/json"]
_TOLD = told_stream(or_json=JSON_OBJECT, but=problems(RpcAnswer, 400))


@router.post("/a2a/{assistant_id}", **_TOLD, openapi_extra=RPC_BODY)
async def a2a(server: Server, request: Request, assistant_id: str) -> Response:
    """`message/send`, `message/stream`, `tasks/get`, `tasks/cancel`, `tasks/resubscribe`."""
    call = None
    try:
        call = await called(request)
        return await _answered(server, assistant_id, call)
    except (RpcError, *EXPECTED) as error:
        if call is None and not isinstance(error, RpcError):
            raise
        return answer(rpc_error(call.id if call else None, error), status=200 if call else 400)


@router.get("/.well-known/agent-card.json", **told(dict[str, JsonValue]))
async def card(server: Server, request: Request, assistant_id: str | None = None) -> Response:
    """Of the assistant, or of the only graph there is."""
    known = list(server.registry)
    if assistant_id is None and len(known) != 1:
        raise failed(422, "query.assistant_id: which one? This server has several graphs")
    return await _card(server, request, assistant_id or known[0])


@router.get("/a2a/{assistant_id}/.well-known/agent-card.json", **told(dict[str, JsonValue]))
@router.get("/a2a/{assistant_id}/.well-known/agent.json", include_in_schema=False)
async def card_of(server: Server, request: Request, assistant_id: str) -> Response:
    return await _card(server, request, assistant_id)


async def _answered(server: Backend, assistant_id: str, call: Call) -> Response:
    match call.method:
        case "message/send":
            return replied(call.id, await send(server, assistant_id, Sending.model_validate(call.params)))
        case "message/stream":
            started = await started_by(server, assistant_id, Sending.model_validate(call.params))
            return _stream(server, call, started)
        case "tasks/get":
            return replied(call.id, await task_now(server, TaskRef.model_validate(call.params).id))
        case "tasks/cancel":
            return replied(call.id, await cancel(server, TaskRef.model_validate(call.params).id))
        case "tasks/resubscribe":
            task = await task_now(server, TaskRef.model_validate(call.params).id)
            started = Started(task["contextId"], str(task["id"]).rpartition(":")[2])
            return _stream(server, call, started, joined=True)
        case _:
            raise RpcError(METHOD_NOT_FOUND, f"no method {call.method!r} here")


def _stream(server: Backend, call: Call, started: Started, *, joined: bool = False) -> Response:
    return Streamed(
        telling(server, call.id, started, joined=joined),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


async def _card(server: Backend, request: Request, name: str) -> Response:
    assistant = await server.assistants.get(name)
    filters = await server.caller.allow("assistants", "read", {"assistant_id": assistant["assistant_id"]})
    if not matches(assistant["metadata"], filters):
        raise not_found("Assistant", name)
    told = assistant["description"] or f"The agent {assistant['name']}"
    skill = {
        "id": assistant["graph_id"],
        "name": assistant["name"],
        "description": told,
        "tags": ["langgraph"],
    }
    shown: dict[str, Any] = {
        "protocolVersion": "0.3.0",
        "name": assistant["name"],
        "description": told,
        "url": f"{str(request.base_url).rstrip('/')}/a2a/{assistant['assistant_id']}",
        "preferredTransport": "JSONRPC",
        "version": version("perdure"),
        "capabilities": {"streaming": True, "pushNotifications": False, "stateTransitionHistory": False},
        "defaultInputModes": _MODES,
        "defaultOutputModes": _MODES,
        "skills": [skill],
    }
    return answer(shown)
