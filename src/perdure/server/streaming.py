"""A run's events as server-sent events, written as LangGraph's server writes them.

Side: server. Every event but the first has an id, so a client that lost its connection goes on after the last one it saw
(`Last-Event-ID`). Where the broker has lost what came in between (it was started anew), the thread's values as they are now
stand for it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from temporalio.service import RPCError

from perdure.contract.state import HistoryRequest
from perdure.errors import ThreadBusy, ThreadNotFound
from perdure.server.backend import Backend
from perdure.server.runs import Started, run_result
from perdure.streams.broker import BEGIN, END, LOST
from perdure.streams.wire import to_json

__all__ = ["HEARTBEAT", "NOT_OF_RUNS", "events", "modes_of", "values_of", "written"]

NOT_OF_RUNS = frozenset({BEGIN, END, "answered", "input", "lifecycle", "speech", "tools", "state_update"})
"""Events that streams of threads tell, in shapes of their own."""

HEARTBEAT = b": heartbeat\r\n\r\n"
# While nothing is said: after so many seconds of silence, times 5, Temporal is asked whether the run goes on.
_SILENT = 3


async def events(
    backend: Backend,
    started: Started,
    *,
    after: str | None = None,
    modes: list[str] | None = None,
    joined: bool = False,
) -> AsyncGenerator[bytes]:
    """The body of a stream.

    Args:
        after: the last event that the client has.
        modes: only events of these stream modes.
        joined: the client did not start the run: it may be over, or unknown to the broker.
    """
    done = False
    try:
        if after is None:
            yield written("metadata", to_json({"run_id": started.run_id, "attempt": 1}), None)
        told = _told(backend, started, after=after, modes=modes, joined=joined)
        async with aclosing(told):
            async for chunk in told:
                yield chunk
        done = True
    finally:
        if not done and started.cancel_on_disconnect:
            backend.go(backend.threads.cancel(started.thread_id, started.run_id))


async def _told(
    backend: Backend, started: Started, *, after: str | None, modes: list[str] | None, joined: bool
) -> AsyncGenerator[bytes]:
    broker = backend.broker
    if broker is None:
        async for chunk in _end(backend, started):
            yield chunk
        return
    if joined and not await broker.knows(started.thread_id, started.run_id, after=after):
        yield written("values", to_json(await values_of(backend, started.thread_id)), None)
        if await _is_over(backend, started):
            return
    silent, over = 0, False
    async for event in broker.listen(started.thread_id, started.run_id, after=after):
        if event is None:
            silent += 1
            yield HEARTBEAT
            if over:
                async for chunk in _end(backend, started):
                    yield chunk
                return
            # Not at once: its last events may be here by now.
            over = silent >= _SILENT and await _is_over(backend, started)
            continue
        silent, over = 0, False
        if event.event == LOST:
            yield written("values", to_json(await values_of(backend, started.thread_id)), None)
        elif _wanted(event.event, modes):
            yield written(event.event, event.data, event.id)


async def _end(backend: Backend, started: Started) -> AsyncGenerator[bytes]:
    """What can be told without the events: how the run ends."""
    result = await run_result(backend, started)
    if isinstance(result, dict) and "__error__" in result:
        yield written("error", to_json(result["__error__"]), None)
    else:
        yield written("values", to_json(result), None)


async def _is_over(backend: Backend, started: Started) -> bool:
    """Also where it is not known (any more); not where nobody answers."""
    try:
        run = await backend.threads.run(started.thread_id, started.run_id)
    except ThreadNotFound:
        return True
    except (RPCError, ThreadBusy):
        return False
    return run.status not in ("pending", "running")


async def values_of(backend: Backend, thread_id: str) -> Any:
    """What stands for events that are lost."""
    found = await backend.threads.history(thread_id, HistoryRequest(limit=1))
    return found[0].values if found else {}


def modes_of(given: list[str]) -> list[str] | None:
    """The stream modes of a query string, which come one by one or as a JSON list; `None` for all."""
    modes = [mode.strip(' "') for text in given for mode in text.strip("[] ").split(",")]
    return [mode for mode in modes if mode] or None


def _wanted(event: str, modes: list[str] | None) -> bool:
    kind = event.partition("|")[0]
    if kind in NOT_OF_RUNS:
        return False
    if modes is None:
        return True
    if kind == "messages":
        return "messages-tuple" in modes
    return kind.partition("/")[0] in modes or kind == "error"


def written(event: str, data: bytes, id: str | None) -> bytes:
    """One server-sent event."""
    name = event.replace("\r", "").replace("\n", "").encode()
    tail = b"" if id is None else b"id: " + id.encode() + b"\r\n"
    return b"event: " + name + b"\r\ndata: " + data + b"\r\n" + tail + b"\r\n"
