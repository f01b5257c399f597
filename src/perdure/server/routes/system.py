"""`/ok` and `/info`. Side: server. `/docs` and `/openapi.json` are FastAPI's."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter

from perdure.server.backend import Server

__all__ = ["ok_only", "router"]

router = APIRouter(tags=["system"])
ok_only = APIRouter(tags=["system"])
"""What is left with `http.disable_meta`."""


@router.get("/ok")
@ok_only.get("/ok")
async def ok(server: Server) -> dict[str, bool]:
    """Whether this server and Temporal are there."""
    return {"ok": await server.client.temporal.service_client.check_health()}


@router.get("/info")
async def info(server: Server) -> dict[str, Any]:
    return {
        "version": version("perdure"),
        "langgraph_py_version": version("langgraph"),
        "flags": {"assistants": True, "crons": False, "langsmith": False, "strict_resume": True},
        "host": {"kind": "perdure"},
    }
