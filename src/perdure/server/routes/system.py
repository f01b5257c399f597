"""`/ok`, `/info` and `/metrics`. Side: server. `/docs` and `/openapi.json` are FastAPI's."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import httpx
from fastapi import APIRouter
from fastapi.responses import Response

from perdure.server.answers import Info, Ok, told, told_as
from perdure.server.backend import Server
from perdure.server.errors import failed

__all__ = ["ok_only", "router"]

router = APIRouter(tags=["system"])
ok_only = APIRouter(tags=["system"])
"""What is left with `http.disable_meta`."""


@router.get("/ok", **told(Ok))
@ok_only.get("/ok", **told(Ok))
async def ok(server: Server) -> dict[str, bool]:
    """Whether this server and Temporal are there."""
    return {"ok": await server.client.temporal.service_client.check_health()}


@router.get("/info", **told(Info))
async def info(server: Server) -> dict[str, Any]:
    return {
        "version": version("perdure"),
        "langgraph_py_version": version("langgraph"),
        "flags": {"assistants": True, "crons": True, "langsmith": False, "strict_resume": True},
        "host": {"kind": "perdure"},
    }


@router.get("/metrics", **told_as("text/plain", "In Prometheus' format"))
async def metrics(server: Server) -> Response:
    """This process's metrics, as Prometheus reads them."""
    if server.metrics is None:
        raise failed(404, "this process has no metrics for Prometheus: start it with --metrics HOST:PORT")
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            told = await client.get(server.metrics)
    except httpx.HTTPError as error:
        raise failed(503, f"no answer from {server.metrics} ({error})") from error
    return Response(told.content, media_type=told.headers.get("content-type"))
