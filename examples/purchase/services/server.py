"""The three services on loopback, each on a port of its own, in this process and its event loop."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from purchase.services.app import service_app
from purchase.services.database import CATALOGUE, Product, open_database, stock_up
from purchase.services.faults import Faults
from purchase.services.ledger import Ledger, read_ledger
from purchase.services.operations import SERVICES

__all__ = ["PurchaseServices"]

_HOST = "127.0.0.1"


class PurchaseServices:
    """Inventory, payments and shipping over the file `purchase.sqlite` in one folder.

    Use it as an async context manager.

    Args:
        ports: of the services, by name; 0, or none, takes a free one.
        seed: for faults with a probability; None takes any.
        products: what the inventory begins with, if it is new.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        ports: Mapping[str, int] | None = None,
        seed: int | None = None,
        products: tuple[Product, ...] = CATALOGUE,
    ) -> None:
        self.database = data_dir / "purchase.sqlite"
        self.seed = secrets.randbelow(2**32) if seed is None else seed
        self.urls: dict[str, str] = {}
        self._ports = ports or {}
        self._products = products

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            db = stack.enter_context(contextlib.closing(open_database(self.database)))
            stock_up(db, self._products)
            self.faults = Faults(db, seed=self.seed)
            servers: list[_Server] = []
            stack.push_async_callback(_stop, servers)
            for name in SERVICES:
                listener = socket.create_server((_HOST, self._ports.get(name, 0)))
                self.urls[name] = f"http://{_HOST}:{listener.getsockname()[1]}"
                servers.append(_Server(service_app(name, db, self.faults), listener))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that point the agent at these services."""
        return {f"PURCHASE_{name.upper()}_URL": url for name, url in self.urls.items()}

    def ledger(self) -> Ledger:
        """The books and the audit as they are now."""
        return read_ledger(self.database)


async def _stop(servers: list["_Server"]) -> None:
    await asyncio.gather(*(server.stop() for server in servers))


class _Server(uvicorn.Server):
    """Serves from its making until `stop`."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving = asyncio.create_task(self.serve([listener]))

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are for the process that the services live in."""
        yield

    async def stop(self) -> None:
        self.should_exit = True
        # Callers of a service that holds its answer back would wait for ever.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await self._serving


class _Protocol(H11Protocol):
    """Lets the application break its connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
