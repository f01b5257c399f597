"""`/mcp`: each assistant as a tool, over MCP's streamable HTTP. Side: server.

Stateless: no sessions, no streams of its own, so any server answers any call. A tool's arguments are its graph's input; its
run has a thread of its own, which ends with it. An agent that asks something cannot be answered here: the call says so.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from perdure.server.agents import ask, assistants_by_name
from perdure.server.answers import RPC_BODY, RpcAnswer, problems, told
from perdure.server.backend import Backend, Server, answer
from perdure.server.jsonrpc import (
    EXPECTED,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Call,
    RpcError,
    called,
    replied,
    rpc_error,
)
from perdure.server.responses import Problem
from perdure.server.schemas import schemas

__all__ = ["router"]

router = APIRouter(tags=["mcp"])

_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")


@router.post("/mcp", **told(RpcAnswer, also=202, but=problems(RpcAnswer, 400)), openapi_extra=RPC_BODY)
async def mcp(server: Server, request: Request) -> Response:
    """One JSON-RPC message of an MCP client."""
    call = None
    try:
        call = await called(request)
        if call.id is None or not call.method:
            return Response(status_code=202)
        return replied(call.id, await _answered(server, call))
    except RpcError as error:
        return answer(rpc_error(call.id if call else None, error), status=200 if call else 400)


@router.get("/mcp", **told(Problem, status=405))
@router.delete("/mcp", **told(Problem, status=405))
async def no_session() -> Response:
    """There are no sessions, and nothing is told but answers."""
    return answer({"detail": "Method Not Allowed"}, headers={"Allow": "POST"}, status=405)


async def _answered(server: Backend, call: Call) -> dict[str, Any]:
    match call.method:
        case "initialize":
            asked = call.params.get("protocolVersion")
            return {
                "protocolVersion": asked if asked in _VERSIONS else _VERSIONS[0],
                "capabilities": {"tools": {"listChanged": False}},
                "serverInfo": {"name": "perdure", "version": version("perdure")},
            }
        case "ping":
            return {}
        case "tools/list":
            return {"tools": [_tool(server, *item) for item in (await assistants_by_name(server)).items()]}
        case "tools/call":
            return await _call(server, call.params)
        case _:
            raise RpcError(METHOD_NOT_FOUND, f"no method {call.method!r} here")


def _tool(server: Backend, name: str, assistant: dict[str, Any]) -> dict[str, Any]:
    schema = schemas(server.registry.graph(assistant["graph_id"]))["input_schema"] or {}
    return {
        "name": name,
        "title": assistant["name"],
        "description": assistant["description"] or f"The agent {assistant['name']}",
        "inputSchema": {**schema, "type": "object"},
        "annotations": {"readOnlyHint": False, "openWorldHint": True},
    }


async def _call(server: Backend, params: dict[str, Any]) -> dict[str, Any]:
    found = (await assistants_by_name(server)).get(str(params.get("name")))
    if found is None:
        raise RpcError(INVALID_PARAMS, f"no tool {params.get('name')!r} here")
    given = {"assistant_id": found["assistant_id"], "input": params.get("arguments") or {}}
    try:
        _, outcome = await ask(server, None, given)
    except EXPECTED as error:
        told: dict[str, Any] = rpc_error(None, error)["error"]
        return _result(told["message"], failed=True)
    if outcome.asked:
        return _result(f"The agent asks, and cannot be answered here: {outcome.text}", failed=True)
    if outcome.failed is not None:
        return _result(outcome.failed, failed=True)
    structured = {"structuredContent": outcome.values} if isinstance(outcome.values, dict) else {}
    return {**_result(outcome.text), **structured}


def _result(text: str, *, failed: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": failed}
