"""A thread's state at a checkpoint, as one looks back at it, and what one may write over it.

Side: contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from perdure.contract.thread import PendingInterrupt

__all__ = ["HistoryPage", "HistoryRequest", "SnapshotTask", "StateUpdate", "StateWrite", "ThreadSnapshot"]


@dataclass(frozen=True)
class SnapshotTask:
    """One task of the step that follows a checkpoint, with what is known of it: its result, its failure's text, what it
    asks; if a graph of its own does it, the namespace of that, and its state where it is wanted."""

    id: str
    name: str
    result: Any = None
    error: str | None = None
    interrupts: list[PendingInterrupt] = field(default_factory=list[PendingInterrupt])
    namespace: str | None = None
    state: ThreadSnapshot | None = None


@dataclass(frozen=True)
class ThreadSnapshot:
    """The state at one checkpoint, as LangGraph's `StateSnapshot` tells it.

    `next` names the nodes that run from here; `source` is what saved it ("input", "loop", "update", "fork"); `step`
    counts as LangGraph does, from -1; `created_at` is ISO 8601 in workflow time; `namespace` is "" for the graph itself.
    """

    checkpoint_id: str
    values: Any
    next: list[str]
    step: int
    source: str
    created_at: str
    parent_id: str | None = None
    namespace: str = ""
    tasks: list[SnapshotTask] = field(default_factory=list[SnapshotTask])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class HistoryRequest:
    """Snapshots, newest first: all in the window, those before a checkpoint, or one of them. `subgraphs`: with the states of the
    graphs that its tasks are, which only the latest one and one of them have."""

    limit: int | None = None
    before: str | None = None
    checkpoint_id: str | None = None
    namespace: str = ""
    filter: dict[str, Any] | None = None
    subgraphs: bool = False


@dataclass(frozen=True)
class HistoryPage:
    snapshots: list[ThreadSnapshot]


@dataclass(frozen=True)
class StateWrite:
    """Values to write as if `as_node` had returned them."""

    values: Any
    as_node: str | None = None


@dataclass(frozen=True)
class StateUpdate:
    """Values to write as if `as_node` had returned them, on the latest or the named checkpoint; or several `supersteps` of such
    writes, one after the other, and then the rest says nothing."""

    values: Any
    as_node: str | None = None
    checkpoint_id: str | None = None
    supersteps: list[list[StateWrite]] = field(default_factory=list[list[StateWrite]])
