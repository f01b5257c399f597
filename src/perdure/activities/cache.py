"""A node's results in the graph's cache, where its `cache_policy` asks for that.

Side: activities. The cache is the user's (`compile(cache=...)`), in reach of every worker if it is one that several
processes share. What is kept is the outcome as it goes into the history, so a hit is recorded like a result.

Not kept: outcomes that are more than values, such as a question (`interrupt`). Not looked up: a node that is a graph; its
own nodes run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from langgraph.cache.base import BaseCache
from langgraph.types import CachePolicy
from temporalio import activity
from temporalio.api.common.v1 import Payload

from perdure._compat import Pregel, PregelNode
from perdure.contract.node import NodeCall
from perdure.contract.task import TaskCall

__all__ = ["NodeCache"]

_KEPT = frozenset({"output", "writes"})


class NodeCache:
    """For one call. Without a cache or a policy it never has anything and keeps nothing."""

    def __init__(
        self, cache: BaseCache[bytes] | None, key: tuple[tuple[str, ...], str], ttl: int | None
    ) -> None:
        self._cache = cache
        self._key = key
        self._ttl = ttl

    @classmethod
    def of(cls, call: NodeCall, graph: Pregel[Any, Any, Any, Any], node: PregelNode, value: Any) -> NodeCache:
        policy: CachePolicy[Any] | None = node.cache_policy or graph.cache_policy
        if graph.cache is None or policy is None:
            return cls(None, ((), ""), None)
        digest: str | bytes = policy.key_func(value)
        text = digest.encode() if isinstance(digest, str) else digest
        # Apart from LangGraph's own entries, which hold something else.
        namespace = ("perdure", call.graph, *call.path, call.task if isinstance(call, TaskCall) else "")
        return cls(graph.cache, (namespace, hashlib.sha256(text).hexdigest()), policy.ttl)

    async def get(self) -> tuple[dict[str, Any], Payload] | None:
        """The outcome, also encoded."""
        found = await self._cache.aget([self._key]) if self._cache is not None else {}
        if not found:
            return None
        payload = Payload.FromString(found[self._key])
        return activity.payload_converter().from_payload(payload, dict), payload

    async def put(self, outcome: dict[str, Any], encode: Callable[[], Payload]) -> None:
        """Keep it, if it is one that can stand for other calls."""
        if self._cache is not None and outcome.keys() <= _KEPT:
            await self._cache.aset({self._key: (encode().SerializeToString(), self._ttl)})
