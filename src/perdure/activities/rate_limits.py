"""Requests and tokens per time, by model, shared by all workers that count in the same Redis.

Side: activities. A call waits in its node until it may be made. What it takes is known when it ends, so the calls under way when
the tokens are used up go beyond.

Not guaranteed: an order among those that wait. A model that is called on the event loop itself (an async node that uses
`invoke`) does not wait.
"""

from __future__ import annotations

import asyncio
import importlib
import random
from collections.abc import Mapping
from typing import Any

from perdure.contract.limits import RateLimit
from perdure.errors import ConfigError

__all__ = ["RATES_VARIABLE", "RateLimits"]

RATES_VARIABLE = "PERDURE_RATES"
"""The environment variable that says where calls are counted: "redis://host:6379"; without it, in the worker's memory."""


class RateLimits:
    """One per worker, on one event loop. `limits` by model name.

    Raises:
        ConfigError: when they cannot be kept: a package is missing, or the address of the store is none.
    """

    def __init__(self, limits: Mapping[str, RateLimit], store: str | None = None) -> None:
        self._limits = dict(limits)
        self._store: Any = None
        if not self._limits:
            return
        try:
            module = importlib.import_module("perdure.activities.rate_store")
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"rate limits need the package {error.name!r}: install perdure[rate-limits]"
            ) from error
        self._store = module.RateStore(store)

    def __contains__(self, model: str) -> bool:
        return model in self._limits

    async def wait(self, model: str) -> None:
        """Until a call of the model may be made, which then counts."""
        while True:
            seconds: float = await self._store.ask(model, self._limits[model])
            if not seconds:
                return
            # Not all at the same moment.
            await asyncio.sleep(seconds + random.uniform(0, 0.05))

    async def spent(self, model: str, tokens: int) -> None:
        """After a call."""
        await self._store.spent(model, tokens, self._limits[model])
