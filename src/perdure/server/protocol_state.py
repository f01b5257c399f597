"""LangChain's agent protocol: what its clients ask about a thread: its values, its checkpoints, the graphs that are under way.

Side: server. All of it is read from the thread's workflow; nothing here changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, Field

from perdure._compat import NS_END, NS_SEP
from perdure.contract.run import RunsRequest
from perdure.contract.state import HistoryRequest, SnapshotTask, ThreadSnapshot
from perdure.server.access import check_thread
from perdure.server.backend import Backend
from perdure.server.protocol_errors import Refused

__all__ = ["checkpoints", "readable", "state", "tree"]

_STATUS: Mapping[str, str] = MappingProxyType(
    {"pending": "started", "running": "running", "success": "completed"}
)


class _Get(BaseModel):
    namespace: list[str] = Field(default_factory=list[str])
    keys: list[str] | None = None


class _List(BaseModel):
    namespace: list[str] = Field(default_factory=list[str])
    limit: int = Field(default=10, ge=1, le=1000)
    before: str | None = None


class _Tree(BaseModel):
    run_id: str | None = None


async def readable(backend: Backend, thread_id: str) -> None:
    """Raises HTTPException and ThreadNotFound where the caller may not read the thread, or it is not there."""
    filters = await backend.caller.allow("threads", "read", {"thread_id": thread_id})
    await check_thread(backend, thread_id, filters)


async def state(backend: Backend, thread_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """`state.get`: the latest values of the graph or of one that runs in it; of a thread on which nothing ran, none."""
    asked = _Get.model_validate(params)
    await readable(backend, thread_id)
    request = HistoryRequest(limit=1, namespace=NS_SEP.join(asked.namespace))
    found = await backend.threads.history(thread_id, request)
    if not found:
        if asked.namespace:
            raise Refused("no_such_namespace", f"nothing is known of the namespace {asked.namespace!r}")
        return {"values": {}}
    values: Any = found[0].values
    if asked.keys is not None and isinstance(values, dict):
        values = {key: values[key] for key in asked.keys if key in values}
    return {"values": values, "checkpoint": {"id": found[0].checkpoint_id, "ns": found[0].namespace}}


async def checkpoints(backend: Backend, thread_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """`state.listCheckpoints`: newest first."""
    asked = _List.model_validate(params)
    await readable(backend, thread_id)
    namespace = NS_SEP.join(asked.namespace)
    request = HistoryRequest(limit=asked.limit, before=asked.before, namespace=namespace)
    found = await backend.threads.history(thread_id, request)
    return {"checkpoints": [_summary(snapshot) for snapshot in found]}


async def tree(backend: Backend, thread_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """`agent.getTree`: the graph of a run, or of the latest, and those that its nodes are, as far as they are under way."""
    run_id = _Tree.model_validate(params).run_id
    await readable(backend, thread_id)
    runs = await backend.threads.runs(thread_id, RunsRequest(run_id=run_id, limit=1))
    if not runs:
        raise Refused("no_such_run", f"the thread has no run {run_id!r}" if run_id else "nothing has run yet")
    known = await backend.threads.state(thread_id)
    latest = run_id is None or (await backend.threads.runs(thread_id, RunsRequest(limit=1)))[0].id == run_id
    status = _STATUS.get(runs[0].status, "failed")
    root: dict[str, Any] = {"namespace": [], "status": status, "graph_name": known.graph}
    if latest:
        found = await backend.threads.history(thread_id, HistoryRequest(limit=1, subgraphs=True))
        if status == "completed" and known.interrupts:
            root["status"] = "interrupted"
        root |= _children(found[0].tasks if found else [])
    return {"tree": root}


def _children(tasks: list[SnapshotTask]) -> dict[str, Any]:
    """Of tasks that are graphs; nothing where there are none."""
    told: list[dict[str, Any]] = []
    for task in tasks:
        inner = task.state.namespace if task.state is not None else task.namespace
        if inner is not None:
            namespace = inner.split(NS_SEP)
            node = {
                "namespace": namespace,
                "status": "interrupted" if task.interrupts else "failed" if task.error else "running",
                "graph_name": namespace[-1].partition(NS_END)[0],
            }
            told.append(node | _children(task.state.tasks if task.state is not None else []))
    return {"children": told} if told else {}


def _summary(snapshot: ThreadSnapshot) -> dict[str, Any]:
    told = {"id": snapshot.checkpoint_id, "timestamp": snapshot.created_at, "step": snapshot.step}
    return {**told, "metadata": {"source": snapshot.source, "next": snapshot.next}}
