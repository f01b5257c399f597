"""`PerdureEnvironment`: a Temporal server, a worker and compiled graphs, for tests.

Side: testing, public. It takes graphs as objects, also ones that are defined in the test itself, and by default replays
the whole history at every workflow task: what a restart or a cache eviction does in production happens at each step here.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from temporalio.client import Client
from temporalio.converter import ExternalStorage
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from perdure.client.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.client.handle import RunHandle
from perdure.contract import names
from perdure.contract.limits import FOR_EVER, RunLimits
from perdure.devserver import DevServer, find_test_server
from perdure.storage.store import StoreSetting
from perdure.worker.plugin import PerdurePlugin

__all__ = ["PerdureEnvironment"]


class PerdureEnvironment:
    """Made by `PerdureEnvironment.start(...)`.

    `client` is Temporal's client, `perdure` the client of this package, `plugin` the worker's plugin, `task_queue` where
    the worker listens.
    """

    def __init__(
        self, server: WorkflowEnvironment, plugin: PerdurePlugin, *, task_queue: str, carry_every: int = 0
    ) -> None:
        self.server = server
        self.plugin = plugin
        self.task_queue = task_queue
        # Time that is skipped would be over for every question: in a test one must be named.
        limits = RunLimits(approval_timeout=FOR_EVER)
        self.perdure = PerdureClient(server.client, task_queue=task_queue, limits=limits)
        self._carry_every = carry_every
        # On the class `start` makes an environment, on an environment it starts a run: both read as what they do.
        self.start = self._start_run  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def client(self) -> Client:
        return self.server.client

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        graphs: Mapping[str, Any],
        *,
        time_skipping: bool = True,
        replay_every_task: bool = True,
        types: Iterable[type] = (),
        carry_every: int = 0,
        worker: bool = True,
        payloads: str | ExternalStorage | None = None,
        store: str | StoreSetting | BaseStore | None = None,
        **plugin_options: Any,
    ) -> AsyncGenerator[PerdureEnvironment]:
        """Start a server and a worker; stop both at the end.

            async with PerdureEnvironment.start({"support": graph}) as env:
                run = await env.start("support", {"message": "I was charged twice"})
                [pending] = await run.wait_for_approvals()
                await run.resume({pending.id: "approve"})
                assert (await run.result())["result"] == "sent"

        Args:
            graphs: compiled graphs by name.
            time_skipping: time passes only while a result is awaited or by `advance`; retries and deadlines then cost
                no time. It has no list, count or search attributes: `False` starts the real dev server.
            replay_every_task: keep no workflow in memory between workflow tasks.
            types: see `PerdurePlugin`.
            carry_every: continue as new after that many node calls (0: when Temporal suggests it).
            worker: `False` starts no worker (for tests that bring their own).
            payloads: see `PerdurePlugin`; default: a temporary folder.
            store: see `PerdurePlugin`; default: a new LangGraph `InMemoryStore`.
            plugin_options: further ones of `PerdurePlugin`.
        """
        task_queue = f"perdure-test-{uuid.uuid4().hex[:8]}"
        async with AsyncExitStack() as stack:
            if payloads is None:
                payloads = Path(stack.enter_context(TemporaryDirectory(prefix="perdure-"))).as_uri()
            plugin = PerdurePlugin(
                graphs, types=types, payloads=payloads, store=store or InMemoryStore(), **plugin_options
            )
            server = await stack.enter_async_context(_server(plugin, time_skipping=time_skipping))
            env = cls(server, plugin, task_queue=task_queue, carry_every=carry_every)
            if worker:
                await stack.enter_async_context(env.worker(replay_every_task=replay_every_task))
            yield env

    def worker(self, *, replay_every_task: bool = True, **options: Any) -> Worker:
        """One more worker for this environment's graphs; use it as an async context manager."""
        cache = {"max_cached_workflows": 0} if replay_every_task else {}
        # A short wait for running activities: a test that leaves one behind should not hang.
        settings: dict[str, Any] = {"graceful_shutdown_timeout": timedelta(0), **cache, **options}
        return Worker(self.client, task_queue=self.task_queue, **settings)

    async def _start_run(
        self,
        name: str,
        input: Any,
        *,
        thread_id: str | None = None,
        config: Mapping[str, Any] | None = None,
        context: Any = None,
        **options: Any,
    ) -> RunHandle:
        """Start a run of the graph `name`; further options as for `PerdureClient.start`."""
        options.setdefault("carry_every", self._carry_every)
        return await self.perdure.start(
            name, input, thread_id=thread_id, config=config, context=context, **options
        )

    async def advance(self, duration: timedelta) -> None:
        """Let time pass: at once with time skipping, really otherwise."""
        await self.server.sleep(duration)


@asynccontextmanager
async def _server(plugin: PerdurePlugin, *, time_skipping: bool) -> AsyncGenerator[WorkflowEnvironment]:
    if time_skipping:
        binary = find_test_server()
        path = str(binary.path) if binary else None
        async with await WorkflowEnvironment.start_time_skipping(
            plugins=[plugin], test_server_existing_path=path
        ) as server:
            yield server
        return
    with TemporaryDirectory(prefix="perdure-") as folder:
        async with DevServer(
            directory=Path(folder),
            port=None,
            ui_port=None,
            http_port=None,
            in_memory=True,
            search_attributes=names.SEARCH_ATTRIBUTES,
        ) as server:
            client = await connect_temporal(server.address, plugins=[plugin])
            yield WorkflowEnvironment.from_client(client)
