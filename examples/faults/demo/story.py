"""The demo's course: start everything, let the agent work, and count. Everything runs in this process but Temporal itself,
which ends with it."""

import asyncio
import time
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

from temporalio.worker import Worker

from faults.agent import ledger_agent
from faults.bad_day import answer, faults
from faults.demo.screen import Screen
from faults.demo.summary import Summary
from perdure.cli.story import Story
from perdure.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.contract.names import SEARCH_ATTRIBUTES
from perdure.devserver import DevServer
from perdure.errors import PerdureError
from perdure.testing.providers import FakeAnthropic
from perdure.worker.plugin import PerdurePlugin

__all__ = ["tell"]

_PATIENCE_SECONDS = 50


async def tell(screen: Screen, directory: Path) -> Summary:
    """Tell it from start to end; nothing is left running.

    Raises:
        PerdureError: it could not be told to its end.
    """
    began = time.monotonic()
    screen.title()
    async with AsyncExitStack() as stack:
        provider = stack.enter_context(FakeAnthropic(answer, faults=faults()))
        screen.up("Provider", f"{provider.url} speaks Anthropic's Messages API, on a bad day")
        with screen.busy("starting Temporal"):
            server = DevServer(directory=directory, search_attributes=SEARCH_ATTRIBUTES)
            await stack.enter_async_context(server)
        screen.up("Temporal", server.ui_url)
        # Empty answers do not count as answers here.
        plugin = PerdurePlugin({"ledger": ledger_agent(provider.url)}, model_output="complete", store="none")
        temporal = await connect_temporal(server.address, plugins=[plugin])
        # What a demo left that was interrupted is not for this worker.
        queue = f"demo-{uuid.uuid4().hex[:8]}"
        await stack.enter_async_context(Worker(temporal, task_queue=queue))
        run = await PerdureClient(temporal, task_queue=queue).start(
            "ledger", {"messages": [("user", "What do they come to?")]}
        )
        screen.up("Run", f"{server.ui_url}/namespaces/default/workflows/{run.thread_id}")
        with screen.busy("the agent reads the ledger"):
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    messages = (await run.result())["messages"]
            except TimeoutError as error:
                raise PerdureError(f"run {run.thread_id!r} did not end in {_PATIENCE_SECONDS} s") from error
        story = Story()
        async for event in run.handle.fetch_history_events():
            story.apply(event)
        summary = Summary.of(messages[-1].text, provider.calls, story.steps, time.monotonic() - began)
    screen.summary(summary)
    return summary
