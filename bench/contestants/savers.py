"""LangGraph in this process, with a checkpointer that has each step stored before the next begins."""

from typing import Any

import agents
from langgraph.checkpoint.base import BaseCheckpointSaver
from protocol import Agent, Stack


class SaverStack(Stack):
    """Runs agents with `ainvoke` and `durability="sync"`; each agent is a thread of its own."""

    def __init__(self, saver: BaseCheckpointSaver[Any]) -> None:
        super().__init__()
        self.saver = saver
        builders = {"steps": agents.steps(), "branches": agents.branches()}
        self.graphs = {name: builder.compile(checkpointer=saver) for name, builder in builders.items()}

    async def run(self, agent: Agent) -> int:
        return await self._invoke(agent, agents.state_of(agent))

    async def resume(self, agent: Agent) -> int:
        """No input means: from the thread's last checkpoint. Nothing calls this by itself."""
        return await self._invoke(agent, None)

    async def _invoke(self, agent: Agent, given: dict[str, Any] | None) -> int:
        config = {"configurable": {"thread_id": agent.key}, "recursion_limit": agents.limit_of(agent)}
        graph = self.graphs[agents.graph_of(agent)]
        result = await graph.ainvoke(given, config, durability="sync")
        return len(result["messages"])
