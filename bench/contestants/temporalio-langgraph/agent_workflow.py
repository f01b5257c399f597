"""The workflow, in a module of its own because Temporal's sandbox imports it anew for each run."""

from typing import Any

from temporalio import workflow
from temporalio.langgraph import graph


@workflow.defn
class AgentWorkflow:
    @workflow.run
    async def run(self, name: str, state: dict[str, Any], limit: int) -> dict[str, Any]:
        return await graph(name).compile().ainvoke(state, {"recursion_limit": limit})
