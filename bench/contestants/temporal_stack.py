"""What the contestants on Temporal share: what their agents left in histories, and why one does not go on."""

import asyncio
import sys
from pathlib import Path

from temporalio.api.failure.v1 import Failure
from temporalio.client import Client, WorkflowExecutionStatus

# Without resolve(), which Temporal's sandbox forbids.
sys.path.append(str(Path(__file__).parents[1]))

from histories import chain, halves
from protocol import Agent, Stack

__all__ = ["TemporalStack"]


class TemporalStack(Stack):
    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client

    async def stored(self, agents: list[Agent]) -> dict[str, int]:
        """All histories of all agents; `more.history_halves`: of a single one also those of the halves of its steps."""
        chains = await asyncio.gather(*(chain(self.client, agent.key) for agent in agents))
        if len(chains) == 1:
            self.facts["history_halves"] = await halves(self.client, chains[0])
        return {"history_bytes": sum(found.size_bytes for found in chains)}

    async def stuck(self, agents: list[Agent]) -> str:
        """What the first agent that did not end met last."""
        for agent in agents:
            handle = self.client.get_workflow_handle(agent.key)
            described = await handle.describe()
            if described.status is not WorkflowExecutionStatus.RUNNING:
                continue
            for pending in described.raw_description.pending_activities:
                if pending.HasField("last_failure"):
                    where = f"activity {pending.activity_type.name!r}, attempt {pending.attempt}"
                    return f"{where}: {_told(pending.last_failure)}"
            last = ""
            async for event in handle.fetch_history_events():
                if event.HasField("workflow_task_failed_event_attributes"):
                    last = _told(event.workflow_task_failed_event_attributes.failure)
            return f"workflow task fails: {last}" if last else ""
        return ""


def _told(failure: Failure) -> str:
    lines = failure.message.strip().splitlines() or [""]
    return f"{failure.application_failure_info.type or 'error'}: {lines[0][:200]}"
