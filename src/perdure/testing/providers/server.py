"""`FakeProvider`: a model provider on loopback that does what its script says, in a thread of its own.

Side: testing, public. Owns the server, the calls that arrived and what became of them. The subclasses know an API each.

Guaranteed: calls are numbered in the order of their arrival, and each item of the script is played once. Not guaranteed: which
of several calls at the same time arrives first; give such calls answers by what they say (`when=`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from perdure.testing.providers.exchange import Api, Exchange, Receive, Send
from perdure.testing.providers.script import Answer, Call, Item, Script, Status

__all__ = ["FakeProvider"]

_HOST = "127.0.0.1"


class FakeProvider(Api, ABC):
    """A context manager; the server listens from its making until the end of the block.

    Args:
        script: replies and faults in the order of the calls, or a function from a `Call` to one.
        when: answers in order for calls whose last message contains the text; once they are used up, the script's.
        faults: what happens to the n-th call (from 1), instead of its answer, which is left for the next call.
    """

    paths: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        script: Iterable[Item] | Callable[[Call], Item] = (),
        *,
        when: Mapping[str, Iterable[Item]] | None = None,
        faults: Mapping[int, Answer] | None = None,
    ) -> None:
        """Raises TypeError for an item that is none."""
        self._changed = threading.Condition()
        self.play(script, when=when, faults=faults)
        self._port = 0
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- for tests

    def play(
        self,
        script: Iterable[Item] | Callable[[Call], Item] = (),
        *,
        when: Mapping[str, Iterable[Item]] | None = None,
        faults: Mapping[int, Answer] | None = None,
    ) -> None:
        """Begin anew, with another script and no calls: for a provider that several tests share.

        Raises:
            TypeError: an item is none.
        """
        with self._changed:
            self._script = Script(script, when=when or {}, faults=faults or {})
            self._calls: list[Call] = []

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self._port}"

    @property
    @abstractmethod
    def base_url(self) -> str:
        """What a client of this API is given."""

    @property
    def options(self) -> dict[str, Any]:
        """`base_url` and a key, for a LangChain model or an SDK client."""
        return {"base_url": self.base_url, "api_key": "test-key"}

    @property
    def calls(self) -> list[Call]:
        """All calls so far."""
        with self._changed:
            return list(self._calls)

    @property
    def paid(self) -> int:
        """How many calls a real provider would send a bill for."""
        return sum(call.paid for call in self.calls)

    def wait_until(self, condition: Callable[[list[Call]], bool], *, seconds: float = 30) -> None:
        """Wait until the calls so far are as asked for. Call it in a thread where an event loop runs.

        Raises:
            TimeoutError: they are not, after that time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self._calls), seconds):
                raise TimeoutError(f"not as asked for after {seconds} s: {self._calls!r}")

    @contextlib.contextmanager
    def down(self) -> Generator[None]:
        """Within the block, connections are refused."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    # --- the server

    def start(self) -> None:
        """Listen, at the same port as before."""
        listener = socket.create_server((_HOST, self._port))
        self._port = listener.getsockname()[1]
        self._server = _Server(self._app)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="fake-provider", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the listener and all connections."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join()
            self._server = self._thread = None

    async def _app(self, scope: Any, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        exchange = Exchange(self, self._change, scope, receive, send)
        if scope["method"] != "POST" or scope["path"] not in self.paths:
            text = f"{type(self).__name__} answers POST {' and '.join(self.paths)}, not {scope['path']}"
            await exchange.json(404, self.error(Status(404, message=text)))
            return
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        try:
            call = self._arrived(scope["path"], headers, json.loads(body))
        except Exception as error:  # noqa: BLE001 - a test's own function, or a body that is no JSON: not worth a retry
            text = f"this fake provider cannot answer: {error!r}"
            await exchange.json(400, self.error(Status(400, message=text)))
            return
        try:
            await exchange.play(call)
        finally:
            self._change(call, done=True)

    def _arrived(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Call:
        with self._changed:
            call = Call(len(self._calls) + 1, path, headers, body)
            self._calls.append(call)
            call.answer = self._script.take(call)
            self._changed.notify_all()
            return call

    def _change(self, call: Call, **fields: Any) -> None:
        with self._changed:
            for name, value in fields.items():
                setattr(call, name, value)
            self._changed.notify_all()


class _Server(uvicorn.Server):
    """Runs in a thread until `stop`."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                interface="asgi3",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening = threading.Event()
        self._stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._listening.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)  # the headers of each answer
        await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are for the main thread."""
        yield

    def stop(self) -> None:
        self._listening.wait()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        self._stopping.set()
        # A client that waits for an answer would wait for ever.
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class _Protocol(H11Protocol):
    """Lets the application break its connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
