"""Temporal's own LangGraph plugin: the graph's loop runs in a workflow, each node as an activity.

temporalio-langgraph 0.1.0, as its README shows it: `LangGraphPlugin(graphs=...)`, nodes with `execute_in="activity"` (every
node needs the label), a workflow that compiles the graph with `graph(name).compile()` and awaits `ainvoke`.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import agents
from agent_workflow import AgentWorkflow
from protocol import Agent, main
from temporal_stack import TemporalStack
from temporalio.client import Client
from temporalio.langgraph import LangGraphPlugin
from temporalio.worker import Worker


class PluginStack(TemporalStack):
    def __init__(self, client: Client, task_queue: str) -> None:
        super().__init__(client)
        self._task_queue = task_queue

    async def run(self, agent: Agent) -> int:
        result = await self.client.execute_workflow(
            AgentWorkflow.run,
            args=[agents.graph_of(agent), agents.state_of(agent), agents.limit_of(agent)],
            id=agent.key,
            task_queue=self._task_queue,
        )
        return len(result["messages"])

    async def resume(self, agent: Agent) -> int:
        """Only waits: Temporal gives the workflow to the new worker."""
        return len((await self.client.get_workflow_handle(agent.key).result())["messages"])


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncIterator[PluginStack]:
    graphs = {"steps": agents.steps(), "branches": agents.branches()}
    for builder in graphs.values():
        for node in builder.nodes.values():
            node.metadata = {"execute_in": "activity"}
    plugin = LangGraphPlugin(
        graphs=graphs, default_activity_options={"start_to_close_timeout": timedelta(seconds=60)}
    )
    client = await Client.connect(given["temporal"])
    async with Worker(client, task_queue=given["id"], workflows=[AgentWorkflow], plugins=[plugin]):
        yield PluginStack(client, given["id"])


if __name__ == "__main__":
    main(opened)
