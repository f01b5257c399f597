"""Where calls are counted for rate limits: in memory or in Redis, by the package `limits`. Side: activities; needs the extra
`perdure[rate-limits]`.

Requests are counted in a moving window, tokens in a fixed one. When the store does not answer, that is logged and the call may
be made: the provider has limits of its own.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from perdure.contract.limits import RateLimit
from perdure.errors import ConfigError

__all__ = ["RateStore"]

_log = logging.getLogger(__name__)


class RateStore:
    """`address` is such as "redis://localhost:6379"; without one it is this process's memory. Raises ConfigError."""

    def __init__(self, address: str | None) -> None:
        try:
            storage: Any = storage_from_string(f"async+{address or 'memory://'}", wrap_exceptions=True)
        except (ConfigurationError, ValueError) as error:
            raise ConfigError(
                f"rate limits cannot be kept at {address!r} ({error}): give an address such as redis://localhost:6379"
            ) from error
        self._by_requests = MovingWindowRateLimiter(storage)
        self._by_tokens = FixedWindowRateLimiter(storage)

    async def ask(self, model: str, limit: RateLimit) -> float:
        """Seconds to wait before asking again; 0 when the call may be made, which then counts."""
        try:
            if limit.tokens is not None:
                item = _item(limit.tokens, limit)
                if not await self._by_tokens.test(item, model):
                    return await _until_reset(self._by_tokens, item, model)
            if limit.requests is not None:
                item = _item(limit.requests, limit)
                if not await self._by_requests.hit(item, model):
                    return await _until_reset(self._by_requests, item, model)
        except StorageError as error:
            _log.warning("the rate limit of model %s cannot be asked, so the call is made: %s", model, error)
        return 0

    async def spent(self, model: str, tokens: int, limit: RateLimit) -> None:
        if limit.tokens is None or not tokens:
            return
        try:
            await self._by_tokens.hit(_item(limit.tokens, limit), model, cost=tokens)
        except StorageError as error:
            _log.warning("%d tokens of model %s are not counted: %s", tokens, model, error)


def _item(amount: int, limit: RateLimit) -> RateLimitItem:
    return RateLimitItemPerSecond(amount, int(limit.per.total_seconds()), namespace="perdure")


async def _until_reset(strategy: RateLimiter, item: RateLimitItem, model: str) -> float:
    stats = await strategy.get_window_stats(item, model)
    return max(0.02, stats.reset_time - time.time())
