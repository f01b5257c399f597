"""langgraph-temporal: a workflow of its own drives the graph with LangGraph's planning functions, each node is an activity.

langgraph-temporal 0.2.0, as its README shows it: `TemporalGraph(graph, client)`, its worker without Temporal's sandbox
(which it asks for), `ainvoke`.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import agents
from langgraph.temporal import TemporalGraph
from protocol import Agent, main
from temporal_stack import TemporalStack
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner


class TemporalGraphStack(TemporalStack):
    def __init__(self, client: Client, graphs: dict[str, TemporalGraph]) -> None:
        super().__init__(client)
        self._graphs = graphs

    async def run(self, agent: Agent) -> int:
        config = {"configurable": {"thread_id": agent.key}, "recursion_limit": agents.limit_of(agent)}
        result = await self._graphs[agents.graph_of(agent)].ainvoke(agents.state_of(agent), config)
        return len(result["messages"])

    async def resume(self, agent: Agent) -> int:
        """Only waits: Temporal gives the workflow to the new worker."""
        return len((await self.client.get_workflow_handle(agent.key).result())["channel_values"]["messages"])


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncIterator[TemporalGraphStack]:
    client = await Client.connect(given["temporal"])
    compiled = {"steps": agents.steps(sync=True).compile(), "branches": agents.branches(sync=True).compile()}
    graphs = {
        name: TemporalGraph(graph, client, task_queue=f"{given['id']}-{name}")
        for name, graph in compiled.items()
    }
    async with AsyncExitStack() as stack:
        for graph in graphs.values():
            await stack.enter_async_context(graph.create_worker(workflow_runner=UnsandboxedWorkflowRunner()))
        yield TemporalGraphStack(client, graphs)


if __name__ == "__main__":
    main(opened)
