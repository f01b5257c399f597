"""All scenarios, and how they are run against one server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import scenarios_later
import scenarios_others
import scenarios_runs
import scenarios_streams
import scenarios_threads
from langgraph_sdk import get_client
from peer_script import Script, comparable

__all__ = ["SCENARIOS", "told_by"]

Scenario = Callable[[Script], Awaitable[None]]
_AT_A_TIME = 6

SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for module in (scenarios_threads, scenarios_runs, scenarios_streams, scenarios_others, scenarios_later)
    for scenario in module.SCENARIOS
}


async def told_by(url: str) -> dict[str, list[list[Any]]]:
    """What each scenario noted at that server; one that breaks off says with what."""
    turns = asyncio.Semaphore(_AT_A_TIME)

    async def told(scenario: Scenario) -> list[list[Any]]:
        async with turns, get_client(url=url) as client, httpx.AsyncClient(base_url=url, timeout=60) as http:
            script = Script(client, http)
            try:
                async with asyncio.timeout(90):
                    await scenario(script)
            except Exception as error:
                script.note("broke off", f"{type(error).__name__}: {error}")
            return comparable(script.notes)

    results = await asyncio.gather(*(told(scenario) for scenario in SCENARIOS.values()))
    return dict(zip(SCENARIOS, results, strict=True))
