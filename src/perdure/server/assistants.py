"""Assistants: a graph with a configuration, in versions; kept in the project's LangGraph store.

Side: server. Each graph has one by itself, whose id is derived from the graph's name as LangGraph's server derives it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from langgraph.store.base import BaseStore

from perdure.graph.registry import GraphRegistry
from perdure.server.errors import failed, not_found
from perdure.storage.store import WorkerStore

__all__ = ["Assistants", "default_id"]

_NAMESPACE = ("perdure", "assistants")
_VERSIONS = ("perdure", "assistant_versions")
_GRAPH_IDS = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
_VERSIONED = ("graph_id", "config", "context", "metadata", "name", "description")
_MOST = 10_000


def default_id(graph: str) -> str:
    """The id of the assistant that every graph has."""
    return str(uuid.uuid5(_GRAPH_IDS, graph))


class Assistants:
    """As dictionaries in the shape of LangGraph's server."""

    def __init__(self, registry: GraphRegistry, stores: WorkerStore) -> None:
        self._registry = registry
        self._stores = stores
        self._since = _now()
        self._own = {default_id(name): name for name in registry}

    async def get(self, name: str) -> dict[str, Any]:
        """By id, or by the name of its graph. Raises 404."""
        name = default_id(name) if name in set(self._registry) else name
        found = await self.find(name)
        if found is None or found["graph_id"] not in set(self._registry):
            raise not_found("Assistant", name)
        return found

    async def find(self, assistant_id: str) -> dict[str, Any] | None:
        """By id alone; also of a graph that is gone."""
        found = await self._saved(assistant_id)
        return self._default(assistant_id) if found is None and assistant_id in self._own else found

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Raises 404 for an unknown graph, 409 where the id is taken."""
        self._check_graph(body["graph_id"])
        assistant_id = body["assistant_id"] or str(uuid.uuid4())
        known = await self.find(assistant_id)
        if known is not None:
            if body["if_exists"] == "do_nothing":
                return known
            raise failed(409, f"Assistant with ID {assistant_id} already exists")
        now = _now()
        made = _mirrored({key: body[key] for key in _VERSIONED})
        return await self._save(
            {"assistant_id": assistant_id, **made, "created_at": now, "updated_at": now, "version": 1}
        )

    async def update(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """A new version. Metadata is merged, all else replaced."""
        known = await self.get(name)
        if changes.get("graph_id"):
            self._check_graph(changes["graph_id"])
        changed = _mirrored({key: value for key, value in changes.items() if value is not None})
        if "metadata" in changed:
            changed["metadata"] = {**known["metadata"], **changed["metadata"]}
        versions = await self._all_versions(known)
        latest = max(item["version"] for item in versions)
        if len(versions) == 1:
            await self._keep_version(versions[0])
        return await self._save({**known, **changed, "updated_at": _now(), "version": latest + 1})

    async def delete(self, name: str) -> None:
        known = await self._saved(name)
        if known is None:
            if name in self._own:
                raise failed(409, f"assistant {name} belongs to a graph of this server: it cannot be deleted")
            raise not_found("Assistant", name)
        store = self._store()
        for version in await self._all_versions(known):
            await store.adelete((*_VERSIONS, name), str(version["version"]))
        await store.adelete(_NAMESPACE, name)

    async def search(self, where: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All that fit, newest first, or as `sort_by` and `sort_order` say."""
        if where.get("graph_id"):
            self._check_graph(where["graph_id"])
        store = self._stores.current
        saved = [] if store is None else await store.asearch(_NAMESPACE, limit=_MOST)
        found = {item.key: item.value for item in saved}
        every = [*found.values(), *(self._default(own) for own in self._own if own not in found)]
        fitting = [
            item
            for item in every
            if item["graph_id"] in set(self._registry)
            and where.get("graph_id") in (None, item["graph_id"])
            and (where.get("name") or "").lower() in item["name"].lower()
            and _contains(item["metadata"], where.get("metadata"))
        ]
        key = where.get("sort_by") or "created_at"
        return sorted(
            fitting, key=lambda item: str(item[key]), reverse=(where.get("sort_order") or "desc") == "desc"
        )

    async def versions(self, name: str, metadata: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """Newest first."""
        every = await self._all_versions(await self.get(name))
        return [item for item in every[::-1] if _contains(item["metadata"], metadata)]

    async def set_latest(self, name: str, version: int) -> dict[str, Any]:
        known = await self.get(name)
        for item in await self._all_versions(known):
            if item["version"] == version:
                latest = {**known, **item, "updated_at": _now()}
                await self._store().aput(_NAMESPACE, known["assistant_id"], latest)
                return latest
        raise failed(404, f"Version {version} not found for assistant {name}")

    def _check_graph(self, graph: str) -> None:
        self._registry.graph(graph)

    def _default(self, assistant_id: str) -> dict[str, Any]:
        graph = self._own[assistant_id]
        return {
            "assistant_id": assistant_id,
            "graph_id": graph,
            "config": {},
            "context": {},
            "metadata": {"created_by": "system"},
            "name": graph,
            "description": None,
            "created_at": self._since,
            "updated_at": self._since,
            "version": 1,
        }

    def _store(self) -> BaseStore:
        if self._stores.current is None:
            raise failed(501, "assistants are kept in the store, and this server has none: set PERDURE_STORE")
        return self._stores.current

    async def _saved(self, assistant_id: str) -> dict[str, Any] | None:
        store = self._stores.current
        item = None if store is None else await store.aget(_NAMESPACE, assistant_id)
        return None if item is None else item.value

    async def _save(self, assistant: dict[str, Any]) -> dict[str, Any]:
        await self._keep_version(assistant)
        await self._store().aput(_NAMESPACE, assistant["assistant_id"], assistant)
        return assistant

    async def _keep_version(self, assistant: Mapping[str, Any]) -> None:
        kept = {key: assistant[key] for key in ("assistant_id", *_VERSIONED, "version")}
        kept["created_at"] = assistant.get("updated_at") or assistant["created_at"]
        namespace = (*_VERSIONS, assistant["assistant_id"])
        await self._store().aput(namespace, str(assistant["version"]), kept)

    async def _all_versions(self, assistant: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Oldest first; at least the one that there is."""
        store = self._stores.current
        items = (
            [] if store is None else await store.asearch((*_VERSIONS, assistant["assistant_id"]), limit=_MOST)
        )
        return sorted((item.value for item in items), key=lambda item: item["version"]) or [dict(assistant)]


def _mirrored(given: dict[str, Any]) -> dict[str, Any]:
    """Of the context and what can be configured, each stands for the other where that one is not given: clients of LangGraph's
    server read the one or the other."""
    configurable = (given.get("config") or {}).get("configurable")
    if configurable and given.get("context"):
        raise failed(400, "Cannot specify both configurable and context. Prefer setting context alone.")
    if configurable:
        return {**given, "context": configurable}
    if given.get("context"):
        return {**given, "config": {**(given.get("config") or {}), "configurable": given["context"]}}
    return given


def _contains(metadata: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    return all(key in metadata and metadata[key] == value for key, value in (wanted or {}).items())


def _now() -> str:
    return datetime.now(UTC).isoformat()
