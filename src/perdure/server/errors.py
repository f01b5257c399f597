"""From what goes wrong to an answer that LangGraph's clients understand: `{"detail": "..."}` and a status.

Side: server.

| what                                                       | status |
|------------------------------------------------------------|--------|
| no such thread, run, assistant, graph, checkpoint          | 404    |
| a run is under way; nothing waits for the answer; it exists | 409    |
| the answer names an interrupt that is gone                 | 410    |
| too large                                                  | 413    |
| the body does not fit; it names the fields                 | 422    |
| Temporal, or every worker, does not answer                 | 503    |
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from langgraph.store.base import InvalidNamespaceError
from starlette.exceptions import HTTPException
from temporalio.client import RPCTimeoutOrCancelledError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from perdure.errors import (
    GraphNotFound,
    InputInvalid,
    InterruptUnknown,
    PayloadError,
    PayloadTooLarge,
    PerdureError,
    ServerUnreachable,
    StateUpdateRefused,
    ThreadBusy,
    ThreadNotFound,
)

__all__ = ["answered", "failed", "install", "not_found"]

_log = logging.getLogger(__name__)

_STATUS: Mapping[type[PerdureError], int] = {
    ThreadNotFound: 404,
    GraphNotFound: 404,
    ThreadBusy: 409,
    StateUpdateRefused: 409,
    InterruptUnknown: 409,
    PayloadTooLarge: 413,
    PayloadError: 422,
    InputInvalid: 422,
    ServerUnreachable: 503,
}
_BY_NAME = {kind.__name__: kind for kind in _STATUS}
_UNAVAILABLE = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


def failed(status: int, detail: str) -> HTTPException:
    return HTTPException(status, detail)


def not_found(what: str, name: str) -> HTTPException:
    return failed(404, f"{what} with ID {name} not found")


def install(app: FastAPI) -> None:
    """Answer every error in the one shape."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


def answered(error: Exception) -> Response:
    """The answer, where no application is there to give it."""
    request = Request({"type": "http", "headers": []})
    for kind in type(error).__mro__:
        if kind in _HANDLERS:
            return _HANDLERS[kind](request, error)
    return _unexpected(request, error)


def _answer(status: int, detail: str, **more: Any) -> JSONResponse:
    return JSONResponse({"detail": detail, **more}, status_code=status)


def _http(_: Request, error: Any) -> JSONResponse:
    return JSONResponse({"detail": str(error.detail)}, status_code=error.status_code, headers=error.headers)


def _invalid(_: Request, error: Any) -> JSONResponse:
    fields = [
        {"field": ".".join(str(part) for part in item["loc"]), "message": str(item["msg"])}
        for item in error.errors()
    ]
    told = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
    return _answer(422, told, errors=fields)


def _unexpected(_: Request, error: Any) -> JSONResponse:
    # The server logs it with its traceback; its text may be nobody else's business.
    return _answer(500, f"{type(error).__name__}: see the server's log")


def _ours(_: Request, error: Any) -> JSONResponse:
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _answer(_STATUS[kind], str(error))
    _log.error("a request failed", exc_info=error)
    return _answer(500, f"{type(error).__name__}: {error}")


def _refused(request: Request, error: Any) -> JSONResponse:
    cause = error.cause
    kind = _BY_NAME.get(cause.type or "") if isinstance(cause, ApplicationError) else None
    return _ours(request, (kind or PerdureError)(str(cause)))


def _no_namespace(_: Request, error: Any) -> JSONResponse:
    return _answer(422, f"namespace: {error}")


def _rpc(_: Request, error: Any) -> JSONResponse:
    if error.status == RPCStatusCode.NOT_FOUND:
        return _answer(404, "not found")
    if error.status == RPCStatusCode.RESOURCE_EXHAUSTED:
        return _answer(429, f"Temporal has too much to do: {error}")
    if error.status in _UNAVAILABLE:
        return _no_answer(_, error)
    if error.status == RPCStatusCode.INVALID_ARGUMENT:
        return _answer(422, str(error))
    _log.error("Temporal refused a request", exc_info=error)
    return _answer(500, str(error))


def _no_answer(_: Request, error: Any) -> JSONResponse:
    return _answer(
        503, f"no answer in time: is a worker with the graph running, and Temporal there? ({error})"
    )


_HANDLERS: Mapping[type[Exception], Callable[[Request, Any], Response]] = {
    HTTPException: _http,
    RequestValidationError: _invalid,
    PerdureError: _ours,
    WorkflowUpdateFailedError: _refused,
    InvalidNamespaceError: _no_namespace,
    RPCError: _rpc,
    RPCTimeoutOrCancelledError: _no_answer,
    Exception: _unexpected,
}
