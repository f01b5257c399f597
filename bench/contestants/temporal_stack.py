"""What the contestants on Temporal that run in the project's own environment share: what their agents left in histories."""

import sys
from pathlib import Path

from temporalio.client import Client

# Without resolve(), which Temporal's sandbox forbids.
sys.path.append(str(Path(__file__).parents[1]))

from chains import chain, halves
from histories import history_bytes, why_stuck
from protocol import Agent, Stack

__all__ = ["TemporalStack"]


class TemporalStack(Stack):
    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client

    async def stored(self, agents: list[Agent]) -> dict[str, int]:
        """All histories of all agents; `more.history_halves`: of a single one also those of the halves of its steps."""
        if len(agents) == 1:
            self.facts["history_halves"] = await halves(self.client, await chain(self.client, agents[0].key))
        return {"history_bytes": await history_bytes(self.client, [agent.key for agent in agents])}

    async def stuck(self, agents: list[Agent]) -> str:
        return await why_stuck(self.client, [agent.key for agent in agents])
