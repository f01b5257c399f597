"""The demo's course: start everything, buy, buy again while shipping refuses, and count.

What is shown comes from the services' own books, which they alone write. Everything that it starts ends with it, in
whatever way it ends itself.
"""

import asyncio
import shutil
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from perdure.client import PerdureClient, connect
from perdure.contract.names import SEARCH_ATTRIBUTES
from perdure.devserver import DevServer
from perdure.errors import RunFailed
from purchase.contract import PurchaseInput
from purchase.demo.screen import Screen
from purchase.demo.summary import Books, Summary
from purchase.services.faults import Fault
from purchase.services.ledger import Ledger, read_ledger
from support.demo.child import Child, DemoError

__all__ = ["Story"]

_ORDER = PurchaseInput("lamp", 2, "tok_visa", "Kai 1, Bremen", "ines")
_FAULTS = (
    Fault("reject", "shipping", "ship", reason="no courier goes there"),
    Fault("unavailable", "payments", "refund"),
)
_PATIENCE_SECONDS = 45


class Story:
    """One demo. `directory` is for Temporal's database, the services' and the logs."""

    def __init__(self, screen: Screen, directory: Path) -> None:
        self._screen = screen
        self._directory = directory
        self._data = directory / "services"
        # The steps of a demo that was interrupted wait in the database: they are not for this worker.
        self._task_queue = f"demo-{uuid.uuid4().hex[:8]}"
        self._shown = 0

    async def tell(self) -> Summary:
        """Tell it from start to end; nothing is left running.

        Raises:
            DemoError, PerdureError: it could not be told to its end.
        """
        began = time.monotonic()
        self._screen.title()
        async with AsyncExitStack() as stack:
            server = await self._start_server(stack)
            services = await self._start_services(stack)
            worker = await self._start_worker(stack, server, services["env"])
            client = await connect(server.address, namespace="default", task_queue=self._task_queue)
            before = self._books()
            self._screen.order("Order 1: two lamps")
            result = (await worker.during(self._buy(client, server)))["result"]
            self._screen.ended(result)
            bought = self._books()
            await self._switch_on(services["urls"])
            try:
                await worker.during(self._buy(client, server))
                raise DemoError("shipping refused the second order, and it ended as if all were well")
            except RunFailed as error:
                compensation = str(error.details.get("compensation", ""))
                failure = str(error)
                self._screen.ended(f"the run fails, {compensation}: {failure}")
            summary = Summary(
                result=result,
                failure=failure,
                compensation=compensation,
                before=before,
                bought=bought,
                undone=self._books(),
                ledger=self._ledger(),
                seconds=time.monotonic() - began,
            )
        self._screen.summary(summary)
        return summary

    async def _start_server(self, stack: AsyncExitStack) -> DevServer:
        server = DevServer(directory=self._directory, search_attributes=SEARCH_ATTRIBUTES)
        stack.push_async_callback(server.stop)
        with self._screen.busy("starting Temporal"):
            await server.start()
        self._screen.up("Temporal", f"{server.address}, Web UI {server.ui_url}")
        return server

    async def _start_services(self, stack: AsyncExitStack) -> dict[str, Any]:
        # The last demo's orders would be counted as this one's.
        shutil.rmtree(self._data, ignore_errors=True)
        child = self._child("services", "purchase.services", "--data-dir", str(self._data))
        with self._screen.busy("starting inventory, payments and shipping"):
            services = await (await stack.enter_async_context(child)).ready()
        self._screen.up("Services", ", ".join(f"{name} {url}" for name, url in services["urls"].items()))
        return services

    async def _start_worker(self, stack: AsyncExitStack, server: DevServer, env: dict[str, str]) -> Child:
        args = ["--address", server.address, "--task-queue", self._task_queue]
        child = await stack.enter_async_context(self._child("worker", "purchase.worker", *args, env=env))
        with self._screen.busy("starting the worker"):
            ready = await child.ready()
        self._screen.up("Worker", f"process {child.pid}; model: {ready['model']}")
        return child

    def _child(self, name: str, module: str, *args: str, env: dict[str, str] | None = None) -> Child:
        return Child(name, module, *args, env=env or {}, log=self._directory / f"{name}.log")

    async def _switch_on(self, urls: dict[str, str]) -> None:
        """Make the services fail in the second order."""
        async with httpx.AsyncClient(trust_env=False) as http:
            for fault in _FAULTS:
                body = {name: value for name, value in asdict(fault).items() if name != "service"}
                (await http.post(f"{urls[fault.service]}/faults", json=body)).raise_for_status()
        self._screen.order(
            "Order 2: the same", "shipping refuses to ship", "payments is down when the first refund comes"
        )

    async def _buy(self, client: PerdureClient, server: DevServer) -> dict[str, Any]:
        """Run the agent and show what reaches the services meanwhile; its last state."""
        run = await client.start("purchase", asdict(_ORDER))
        self._screen.run_started(run.thread_id, server.ui_url)
        ending = asyncio.create_task(run.result())
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not ending.done():
                    self._show()
                    await asyncio.wait([ending], timeout=0.1)
        except TimeoutError as error:
            raise DemoError(f"run {run.thread_id!r} did not end in {_PATIENCE_SECONDS} s") from error
        finally:
            ending.cancel()
        self._show()
        return await ending

    def _show(self) -> None:
        """The requests that were decided since the last time."""
        ledger = self._ledger()
        effects = {effect.request: effect for effect in ledger.effects}
        for request in ledger.requests[self._shown :]:
            if request.status is None:
                return
            self._screen.request(request, effects.get(request.number))
            self._shown += 1

    def _books(self) -> Books:
        return Books.read(self._ledger(), _ORDER.sku)

    def _ledger(self) -> Ledger:
        return read_ledger(self._data / "purchase.sqlite")
