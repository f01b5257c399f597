"""What lists of threads show of this one: status, graph, open questions, metadata; in memo and search attributes.

Side: workflow. Everything here is a command, so nothing of it may depend on anything but the history. A thread that the HTTP
server did not make has no metadata, and writes just what it always did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from temporalio import workflow
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributeUpdate,
    TypedSearchAttributes,
)

from perdure.contract import names
from perdure.contract.thread import CarryOver, PendingInterrupt, ThreadStart

__all__ = ["Listing", "first_listed"]

_GRAPH_KEY = SearchAttributeKey.for_keyword(names.SEARCH_GRAPH)
_STATUS_KEY = SearchAttributeKey.for_keyword(names.SEARCH_STATUS)
_PENDING_KEY = SearchAttributeKey.for_int(names.SEARCH_PENDING)
_ASKED_KEY = SearchAttributeKey.for_datetime(names.SEARCH_ASKED)
_METADATA_KEY = SearchAttributeKey.for_keyword_list(names.SEARCH_METADATA)


# A memo is written with every change of status, and read with every line of a list.
_MOST_BYTES = 4_000


class Listing:
    """`metadata` is `None` on a thread that was not made by the HTTP server."""

    def __init__(self, start: ThreadStart) -> None:
        carry = start.carry or CarryOver()
        self.metadata = start.metadata if carry.metadata is None else carry.metadata
        self._search = start.search
        self._search_asked = start.search_asked
        self._dated_at_rest = start.dated_at_rest

    def status(
        self, status: str, *, graph: str, waiting: Sequence[PendingInterrupt], values: Callable[[], Any]
    ) -> None:
        """`values` are shown in lists where the thread is at rest, and they are small."""
        if self._search:
            updates: list[SearchAttributeUpdate[Any]] = [
                _GRAPH_KEY.value_set(graph),
                _STATUS_KEY.value_set(status),
                _PENDING_KEY.value_set(len(waiting)),
            ]
            workflow.upsert_search_attributes([*updates, *self._asked(status, waiting)])
        else:
            workflow.upsert_memo({"status": status, "pending": len(waiting)})
        if self.metadata is None or (status == "running" and self._dated_at_rest):
            return  # each write of a run's first workflow task is one that its first token waits for
        shown = {} if status == "running" else {"values": _small(values())}
        workflow.upsert_memo({"updated_at": workflow.time(), **shown})

    def _asked(
        self, status: str, waiting: Sequence[PendingInterrupt]
    ) -> list[SearchAttributeUpdate[datetime]]:
        """Since when the oldest question waits, where the thread waits for its answer."""
        if not self._search_asked:
            return []
        if status == "interrupted" and waiting:
            return [_ASKED_KEY.value_set(_since(waiting))]
        told = _ASKED_KEY in workflow.info().typed_search_attributes
        return [_ASKED_KEY.value_unset()] if told else []

    def merge(self, changes: Mapping[str, Any]) -> None:
        """Change the metadata: the given keys, and no others."""
        known = self.metadata or {}
        if self.metadata is not None and all(k in known and known[k] == v for k, v in changes.items()):
            return
        self.metadata = {**known, **changes}
        workflow.upsert_memo({"metadata": self.metadata, "updated_at": workflow.time()})
        if self._search:
            workflow.upsert_search_attributes([_METADATA_KEY.value_set(names.metadata_terms(self.metadata))])


def first_listed(
    start: ThreadStart, *, graph: str, status: str, now: float, waiting: Sequence[PendingInterrupt] = ()
) -> dict[str, Any]:
    """Options for the start of a thread's workflow: what lists show of it before it has said anything."""
    metadata = start.metadata or {}
    memo = {"graph": graph, "keep_open": True, "status": status, "metadata": metadata, "created_at": now}
    if not start.search:
        return {"memo": memo}
    pairs: list[SearchAttributePair[Any]] = [
        SearchAttributePair(_GRAPH_KEY, graph),
        SearchAttributePair(_STATUS_KEY, status),
        SearchAttributePair(_PENDING_KEY, len(waiting)),
    ]
    if start.search_asked and waiting:
        pairs.append(SearchAttributePair(_ASKED_KEY, _since(waiting)))
    if terms := names.metadata_terms(metadata):
        pairs.append(SearchAttributePair(_METADATA_KEY, terms))
    return {"memo": memo, "search_attributes": TypedSearchAttributes(pairs)}


def _since(waiting: Sequence[PendingInterrupt]) -> datetime:
    return datetime.fromtimestamp(min(item.created_at for item in waiting), UTC)


def _small(values: Any) -> Any:
    data = workflow.payload_converter().to_payload(values).data
    return values if len(data) <= _MOST_BYTES else None
