"""LangChain's agent protocol: a thread's events as its clients take them, filtered by channel and namespace.

Side: server. Each is one event of the broker; its `seq` is made of that event's id, so it grows over restarts, and whoever names
the last one gets those after it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from types import MappingProxyType
from typing import Any

import orjson
from pydantic import BaseModel, Field, field_validator

from perdure.server.backend import Backend
from perdure.server.streaming import HEARTBEAT, values_of, written
from perdure.streams.broker import BEGIN, END, LOST, Broker, StreamEvent, event_key
from perdure.streams.wire import to_json

__all__ = ["EventsBody", "protocol_events", "seq_of"]

_CHANNELS = frozenset(
    {"values", "updates", "messages", "tools", "lifecycle", "input", "checkpoints", "tasks", "custom"}
)
# Of a broker's id: milliseconds, and a count below them. Together they stay below 2**53, as JavaScript needs it.
_COUNT_BITS = 12


class EventsBody(BaseModel):
    """What a client wants to hear: channels, below which namespaces and how deep, and after which event."""

    channels: list[str] = Field(min_length=1)
    namespaces: list[list[str]] | None = None
    depth: int | None = Field(default=None, ge=0)
    since: int | None = Field(default=None, ge=0, lt=2**53)

    @field_validator("channels")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in _CHANNELS and not (name.startswith("custom:") and len(name) > 7):
                raise ValueError(f"no channel {name!r}: {', '.join(sorted(_CHANNELS))}, or custom:NAME")
        return value

    def wants(self, event: dict[str, Any]) -> bool:
        method, params = event["method"], event["params"]
        channel = "input" if method.startswith("input.") else method
        data: Any = params["data"]
        name = data.get("name") if channel == "custom" and isinstance(data, dict) else None
        if channel not in self.channels and not (name and f"custom:{name}" in self.channels):
            return False
        namespace = params["namespace"]
        return not self.namespaces or any(self._below(namespace, prefix) for prefix in self.namespaces)

    def _below(self, namespace: list[str], prefix: list[str]) -> bool:
        if len(prefix) > len(namespace):
            return False
        pairs = zip(prefix, namespace, strict=False)
        # A prefix may leave out the ids of tasks.
        if not all(name in (part, part.partition(":")[0]) for name, part in pairs):
            return False
        return self.depth is None or len(namespace) - len(prefix) <= self.depth


async def protocol_events(
    backend: Backend, broker: Broker, thread_id: str, body: EventsBody
) -> AsyncGenerator[bytes]:
    """The body of a stream, without an end: what is kept after `since`, or at all, then what comes."""
    after = None if body.since is None else _id_of(body.since)
    async for event in broker.listen(thread_id, after=after):
        if event is None:
            yield HEARTBEAT
            continue
        if event.event == LOST:
            values = await values_of(backend, thread_id)
            event = event._replace(event="values", data=to_json(values))
        told = _protocol(event)
        if told is not None and body.wants(told):
            sequence = told.get("seq")
            yield written(told["method"], orjson.dumps(told), None if sequence is None else str(sequence))


def seq_of(event_id: str) -> int:
    milliseconds, count = event_key(event_id)
    return (milliseconds << _COUNT_BITS) + min(count, 2**_COUNT_BITS - 1)


def _id_of(seq: int) -> str:
    return f"{seq >> _COUNT_BITS}-{seq & (2**_COUNT_BITS - 1)}"


def _protocol(event: StreamEvent) -> dict[str, Any] | None:
    kind, *namespace = event.event.split("|")
    making = _MAKING.get(kind)
    data: Any = orjson.loads(event.data)
    made = making(data) if making is not None else None
    if made is None:
        return None
    method, told = made
    params = {"namespace": namespace, "timestamp": event_key(event.id)[0], "data": told}
    numbered = {"event_id": _named(event), "seq": seq_of(event.id)} if event.id else {}
    return {"type": "event", **numbered, "method": method, "params": params}


def _named(event: StreamEvent) -> str:
    """Clients read from an id of this form which run begins or ends: no field tells it."""
    return f"synth:{event.run_id}:{event.id}" if event.event in (BEGIN, END) else event.id


def _began(data: Any) -> tuple[str, Any]:
    return "lifecycle", {"event": "running", "graph_name": data.get("graph", "")}


def _ended(data: Any) -> tuple[str, Any]:
    status, error = data.get("status"), data.get("error")
    told: dict[str, Any] = {"event": "completed", "graph_name": data.get("graph", "")}
    if data.get("asks"):
        told["event"] = "interrupted"
    elif status != "success":
        text = f"{error['error']}: {error['message']}" if error else "the run was cancelled"
        told |= {"event": "failed", "error": text}
    return "lifecycle", told


def _asked(data: Any) -> tuple[str, Any]:
    # One client reads `payload`, the other `value`.
    return "input.requested", {**data, "value": data.get("payload")}


def _values(data: Any) -> tuple[str, Any]:
    asked = isinstance(data, dict) and "__interrupt__" in data
    return "values", {k: v for k, v in data.items() if k != "__interrupt__"} if asked else data


def _updates(data: Any) -> tuple[str, Any] | None:
    if not isinstance(data, dict) or "__interrupt__" in data:
        return None
    [(node, values)] = data.items() if len(data) == 1 else [("", data)]
    return "updates", {"node": node, "values": values}


def _checkpoint(data: Any) -> tuple[str, Any]:
    def id_of(config: Any) -> Any:
        return ((config or {}).get("configurable") or {}).get("checkpoint_id")

    metadata = data.get("metadata") or {}
    told = {"id": id_of(data.get("config")), "step": metadata.get("step"), "source": metadata.get("source")}
    parent = id_of(data.get("parent_config"))
    return "checkpoints", {**told, **({"parent_id": parent} if parent else {})}


def _custom(data: Any) -> tuple[str, Any]:
    return "custom", data if isinstance(data, dict) and data.get("name") else {"payload": data}


def _retry(data: Any) -> tuple[str, Any]:
    return "custom", {"name": "retry", "payload": data}


def _as(method: str) -> Callable[[Any], tuple[str, Any]]:
    return lambda data: (method, data)


_MAKING: Mapping[str, Callable[[Any], tuple[str, Any] | None]] = MappingProxyType(
    {
        BEGIN: _began,
        END: _ended,
        "input": _asked,
        "answered": _as("input.answered"),
        "values": _values,
        "updates": _updates,
        "checkpoints": _checkpoint,
        "custom": _custom,
        "messages/retry": _retry,
        "speech": _as("messages"),
        "tools": _as("tools"),
        "tasks": _as("tasks"),
        "lifecycle": _as("lifecycle"),
    }
)
