"""What all runs of a thread say, also those that are still to come, as LangGraph's `threads.join_stream` tells it.

Side: server. Without an end: the client goes away. Modes: `run_modes` (all that the runs' own streams tell, and where each begins
and is done), `lifecycle` (only that), `state_update` (states that were set by hand).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import orjson

from perdure.server.backend import Backend
from perdure.server.streaming import HEARTBEAT, NOT_OF_RUNS, values_of, written
from perdure.streams.broker import BEGIN, END, LATEST, LOST, Broker, StreamEvent, event_key
from perdure.streams.wire import to_json

__all__ = ["STATE_UPDATE", "tell_state", "thread_events"]

STATE_UPDATE = "state_update"


async def thread_events(
    backend: Backend, broker: Broker, thread_id: str, *, after: str | None, modes: list[str]
) -> AsyncGenerator[bytes]:
    """The body of a stream.

    Args:
        after: the last event that the client has; "-" for all that is kept; default: only what comes.
    """
    named = event_key(after) != event_key(None)
    if named and not await broker.knows(thread_id, after=after):
        yield written("values", to_json(await values_of(backend, thread_id)), None)
    async for event in broker.listen(thread_id, after=after if after else LATEST):
        if event is None:
            yield HEARTBEAT
        elif event.event == LOST:
            yield written("values", to_json(await values_of(backend, thread_id)), None)
        elif told := _told(event, modes):
            yield told


def tell_state(broker: Broker, thread_id: str, state: dict[str, Any]) -> None:
    """That a thread's state was set by hand."""
    broker.publish(thread_id, "", STATE_UPDATE, to_json({"state": state, "thread_id": thread_id}))


def _told(event: StreamEvent, modes: list[str]) -> bytes | None:
    kind = event.event.partition("|")[0]
    if kind == STATE_UPDATE:
        return written(kind, event.data, event.id) if STATE_UPDATE in modes else None
    if kind in (BEGIN, END):
        told = {"attempt": 1} if kind == BEGIN else {"status": "run_done"}
        data = orjson.dumps({"run_id": event.run_id, **told})
        return written("metadata", data, event.id) if {"run_modes", "lifecycle"} & {*modes} else None
    if kind in NOT_OF_RUNS or "run_modes" not in modes:
        return None
    return written(event.event, event.data, event.id)
