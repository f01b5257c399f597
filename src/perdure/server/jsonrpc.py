"""JSON-RPC 2.0 over HTTP, as MCP and A2A speak it. Side: server.

A body has to say that it is JSON: a web page from elsewhere cannot send such a one without being allowed to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from perdure.errors import PerdureError
from perdure.server.backend import answer
from perdure.server.errors import answered, failed

__all__ = [
    "EXPECTED",
    "INVALID_PARAMS",
    "METHOD_NOT_FOUND",
    "Call",
    "RpcError",
    "called",
    "replied",
    "rpc_error",
]

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
_OTHER = -32000

EXPECTED = (HTTPException, PerdureError, RequestValidationError, ValidationError)
"""What goes wrong with a call by what it asks for."""


class RpcError(Exception):
    """What the answer's `error` says."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


@dataclass(frozen=True)
class Call:
    """One request. Without an id it is a notification, which has no answer."""

    id: str | int | None
    method: str
    params: dict[str, Any]


async def called(request: Request) -> Call:
    """Raises RpcError, and HTTPException for a body that does not say it is JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise failed(415, "Content-Type: must be application/json")
    try:
        message = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise RpcError(PARSE_ERROR, "the body is no JSON") from None
    if not isinstance(message, dict):
        raise RpcError(INVALID_REQUEST, "the body is no JSON-RPC request: send one object")
    fields = cast("dict[str, Any]", message)
    method, number, params = fields.get("method", ""), fields.get("id"), fields.get("params") or {}
    if (
        fields.get("jsonrpc") != "2.0"
        or not isinstance(method, str)
        or not isinstance(number, str | int | None)
    ):
        raise RpcError(INVALID_REQUEST, "the body is no JSON-RPC 2.0 request")
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params: must be an object")
    return Call(number, method, cast("dict[str, Any]", params))


def replied(id: str | int | None, result: Any) -> Response:
    return answer({"jsonrpc": "2.0", "id": id, "result": result})


def rpc_error(id: str | int | None, error: Exception) -> dict[str, Any]:
    """The whole message; errors of ours say what they would say over HTTP."""
    if isinstance(error, RpcError):
        told: dict[str, Any] = {"code": error.code, "message": error.message}
        return {
            "jsonrpc": "2.0",
            "id": id,
            "error": told if error.data is None else {**told, "data": error.data},
        }
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return rpc_error(id, RpcError(INVALID_PARAMS, f"{where}: {first['msg']}"))
    response = answered(error)
    detail = json.loads(bytes(response.body))["detail"]
    code = INVALID_PARAMS if response.status_code in (404, 422) else _OTHER
    return rpc_error(id, RpcError(code, detail, {"status": response.status_code}))
