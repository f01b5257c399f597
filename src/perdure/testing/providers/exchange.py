"""One HTTP exchange of a fake provider: its answer, or what goes wrong with it.

Side: testing. Knows the wire, and asks the API how replies and errors are written.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, Protocol

from perdure.testing.providers.script import Answer, Broken, Call, Reply, Reset, Stall, Status

__all__ = ["Api", "Exchange", "Receive", "Send", "chunks"]

_EXHAUSTED = Status(400, message="the script of this fake provider has no answer left")
_OVERLOADED = Status(529, message="scripted failure within an answer", type="overloaded_error")

Receive = Callable[[], Any]
Send = Callable[[Any], Any]


class Api(Protocol):
    """How a provider's API writes things."""

    def whole(self, call: Call, reply: Reply) -> dict[str, Any]:
        """The body of an answer in one piece."""
        ...

    def events(self, call: Call, reply: Reply) -> Iterator[str]:
        """The events of a streamed answer, each as it is sent."""
        ...

    def error(self, status: Status) -> dict[str, Any]:
        """The body of an error."""
        ...

    def error_event(self, status: Status) -> str:
        """An error within a stream."""
        ...

    def headers(self, call: Call) -> Mapping[str, str]:
        """Of each answer."""
        ...


class _HungUp(Exception):
    """The client has closed the connection."""


class _Over(Exception):
    """The script has closed the connection."""


class Exchange:
    """One request and its answer. `note` is told what becomes of the call: `note(call, paid=True)`."""

    def __init__(self, api: Api, note: Callable[..., None], scope: Any, receive: Receive, send: Send) -> None:
        self._api = api
        self._note = note
        self._transport: asyncio.Transport = scope["state"]["transport"]
        self._receive = receive
        self._send = send
        self._gone = asyncio.Event()

    async def play(self, call: Call) -> None:
        watch = asyncio.create_task(self._watch())
        try:
            await self._play(call, call.answer or _EXHAUSTED)
        except _HungUp:
            self._note(call, hung_up=True)
        except _Over:
            pass
        finally:
            watch.cancel()

    async def _play(self, call: Call, answer: Answer) -> None:
        match answer:
            case Status():
                await self.json(answer.code, self._api.error(answer), self._status_headers(call, answer))
            case Reset(after=None):
                await self._reset()
            case Stall(after=None):
                await self._hang()
            case Broken(kind="html"):
                await self._start(200, {"content-type": "text/html"})
                await self._body("<html><body>502 Bad Gateway</body></html>", more=False)
            case _:
                reply = answer if isinstance(answer, Reply) else answer.reply
                self._note(call, paid=True)
                await (self._stream if call.streamed else self._whole)(call, reply, answer)

    async def _whole(self, call: Call, reply: Reply, answer: Answer) -> None:
        await self._pause(reply.pause)
        if isinstance(answer, Broken) and answer.kind == "error":
            await self.json(200, self._api.error(_OVERLOADED), self._api.headers(call))
            return
        text = json.dumps(self._api.whole(call, reply))
        await self._start(200, {"content-type": "application/json", **self._api.headers(call)})
        if isinstance(answer, Stall):
            await self._hang()
        if isinstance(answer, Reset):
            await self._body(text[: len(text) // 2])
            await self._reset()
        await self._body(text if isinstance(answer, Reply) else text[: len(text) // 2], more=False)

    async def _stream(self, call: Call, reply: Reply, answer: Answer) -> None:
        headers = {"content-type": "text/event-stream", **self._api.headers(call)}
        await self._start(200, headers)
        events = list(self._api.events(call, reply))
        limit = len(events)
        if isinstance(answer, (Reset, Stall)):
            limit = min(answer.after or 0, len(events) - 1)
        elif isinstance(answer, Broken):
            limit = len(events) // 2
        for event in events[:limit]:
            await self._pause(reply.pause)
            await self._body(event)
        if isinstance(answer, Reset):
            await self._reset()
        if isinstance(answer, Stall):
            await self._hang()
        if isinstance(answer, Broken) and answer.kind != "cut":
            cut = events[limit][: len(events[limit]) - 8] + "\n\n"
            await self._body(self._api.error_event(_OVERLOADED) if answer.kind == "error" else cut)
        await self._body("", more=False)

    def _status_headers(self, call: Call, status: Status) -> Mapping[str, str]:
        after = {} if status.retry_after is None else {"retry-after": status.retry_after}
        return {**self._api.headers(call), **after, **status.headers}

    async def json(self, code: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        await self._start(code, {"content-type": "application/json", **(headers or {})})
        await self._body(json.dumps(body), more=False)

    async def _start(self, code: int, headers: Mapping[str, str]) -> None:
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": code, "headers": pairs})

    async def _body(self, text: str, *, more: bool = True) -> None:
        if self._gone.is_set():
            raise _HungUp
        await self._send({"type": "http.response.body", "body": text.encode(), "more_body": more})

    async def _pause(self, seconds: float) -> None:
        if not seconds:
            return
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            return
        raise _HungUp

    async def _hang(self) -> NoReturn:
        await self._gone.wait()
        raise _HungUp

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def _reset(self) -> NoReturn:
        await asyncio.sleep(0.01)  # what was sent already arrives before the reset
        # No lingering: the client gets a reset (RST), as from a process that died.
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self._transport.abort()
        await self._gone.wait()
        raise _Over


def chunks(text: str, size: int) -> Iterator[str]:
    """`text` in pieces of at most `size` characters; nothing for an empty text."""
    return (text[start : start + size] for start in range(0, len(text), size))
