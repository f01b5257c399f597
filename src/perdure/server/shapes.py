"""Threads, runs and states in the shapes of LangGraph's server. Side: server. Pure functions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from perdure.contract.run import RunRecord
from perdure.contract.state import ThreadSnapshot
from perdure.contract.thread import PendingInterrupt
from perdure.server.threads import ThreadLine

__all__ = ["empty_state", "iso", "page_of", "run_shape", "selected", "state_shape", "thread_shape"]

_STATUS = {"running": "busy", "interrupted": "interrupted", "idle": "idle", "error": "error"}


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def thread_shape(line: ThreadLine, snapshot: ThreadSnapshot | None = None) -> dict[str, Any]:
    """Values and interrupts are those of the snapshot. Without one, values are what lists know, and there are no interrupts."""
    asked = {task.id: [_interrupt(i) for i in task.interrupts] for task in snapshot.tasks} if snapshot else {}
    return {
        "thread_id": line.thread_id,
        "created_at": iso(line.created_at),
        "updated_at": iso(line.updated_at),
        "state_updated_at": iso(line.updated_at),
        "metadata": line.metadata,
        "config": {},
        "status": _STATUS.get(line.status, "idle"),
        "values": snapshot.values if snapshot else line.values,
        "interrupts": {task: items for task, items in asked.items() if items},
    }


def run_shape(thread_id: str, run: RunRecord) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "run_id": run.id,
        "thread_id": thread_id,
        "assistant_id": run.assistant_id,
        "created_at": iso(run.created_at),
        "updated_at": iso(run.updated_at),
        "status": run.status,
        "metadata": run.metadata,
        "kwargs": run.kwargs,
        "multitask_strategy": run.multitask_strategy,
    }
    return {**shape, "error": run.error} if run.error else shape


def state_shape(thread_id: str, snapshot: ThreadSnapshot) -> dict[str, Any]:
    return {
        "values": snapshot.values,
        "next": snapshot.next,
        "tasks": [
            {
                "id": task.id,
                "name": task.name,
                "error": task.error,
                "interrupts": [_interrupt(item) for item in task.interrupts],
                "checkpoint": None if task.namespace is None else checkpoint(thread_id, None, task.namespace),
                "state": None if task.state is None else state_shape(thread_id, task.state),
                "result": task.result,
            }
            for task in snapshot.tasks
        ],
        "metadata": snapshot.metadata,
        "created_at": snapshot.created_at,
        "checkpoint": checkpoint(thread_id, snapshot.checkpoint_id, snapshot.namespace),
        "parent_checkpoint": checkpoint(thread_id, snapshot.parent_id, snapshot.namespace)
        if snapshot.parent_id
        else None,
        "interrupts": [_interrupt(item) for task in snapshot.tasks for item in task.interrupts],
        "checkpoint_id": snapshot.checkpoint_id,
        "parent_checkpoint_id": snapshot.parent_id,
    }


def empty_state() -> dict[str, Any]:
    """Of a thread on which nothing has run."""
    return {
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": None,
        "created_at": None,
        "checkpoint": None,
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": None,
        "parent_checkpoint_id": None,
    }


def checkpoint(thread_id: str, checkpoint_id: str | None, namespace: str) -> dict[str, Any]:
    return {"thread_id": thread_id, "checkpoint_id": checkpoint_id, "checkpoint_ns": namespace}


def page_of(
    found: list[dict[str, Any]], offset: int, limit: int, fields: list[str] | None
) -> tuple[list[dict[str, Any]], dict[str, str] | None]:
    """A page of what was found, and the header that says where the next one begins, if there is one."""
    page = found[offset : offset + limit]
    end = offset + len(page)
    more = {"X-Pagination-Next": str(end)} if end < len(found) else None
    return [selected(shape, fields) for shape in page], more


def selected(shape: dict[str, Any], fields: list[str] | None) -> dict[str, Any]:
    """Only the given fields; `values.name` is one key of the values."""
    if not fields:
        return shape
    found = {name: shape[name] for name in fields if name in shape}
    values: Any = shape.get("values")
    keys = [name.removeprefix("values.") for name in fields if name.startswith("values.")]
    if keys and "values" not in found and isinstance(values, dict):
        found["values"] = {key: values[key] for key in keys if key in values}
    return found


def _interrupt(item: PendingInterrupt) -> dict[str, Any]:
    return {"id": item.id, "value": item.value}
