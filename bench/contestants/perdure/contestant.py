"""Perdure as `perdure worker` runs it: the plugin, its worker with its settings, unchanged LangGraph graphs.

Payloads over 256 KiB are kept outside the histories, in a folder, as with `perdure dev`; `checkpoint_bytes` counts them.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from temporalio.client import Client

from perdure.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.worker.plugin import PerdurePlugin
from perdure.worker.process import run_worker

sys.path.append(str(Path(__file__).resolve().parents[1]))

import agents as graphs
from protocol import Agent, Stack, main
from temporal_stack import TemporalStack


class PerdureStack(TemporalStack):
    def __init__(self, client: Client, queue: str, payloads: Path) -> None:
        super().__init__(client)
        self._perdure = PerdureClient(client, task_queue=queue)
        self._payloads = payloads

    async def run(self, agent: Agent) -> int:
        config = {"recursion_limit": graphs.limit_of(agent)}
        state = graphs.state_of(agent)
        result = await self._perdure.run(graphs.graph_of(agent), state, thread_id=agent.key, config=config)
        return len(result["messages"])

    async def stored(self, agents: list[Agent]) -> dict[str, int]:
        files = (path for path in self._payloads.rglob("*") if path.is_file())
        return await super().stored(agents) | {"checkpoint_bytes": sum(path.stat().st_size for path in files)}


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncGenerator[Stack]:
    payloads, queue = Path(given["folder"]) / "payloads", given["id"]
    builders = {"steps": graphs.steps(), "branches": graphs.branches()}
    plugin = PerdurePlugin(
        {name: builder.compile() for name, builder in builders.items()}, payloads=payloads.as_uri()
    )
    client = await connect_temporal(given["temporal"], plugins=[plugin])
    ready, stop = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_worker(client, task_queue=queue, on_ready=ready.set, stop=stop))
        await ready.wait()
        yield PerdureStack(client, queue, payloads)
        stop.set()


if __name__ == "__main__":
    main(opened)
