"""What the contestants on Temporal that run in the project's own environment share: what their agents left in histories."""

import asyncio
import sys
from pathlib import Path

from temporalio.client import Client

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
