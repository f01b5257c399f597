"""The checkpointer of graphs that a node runs by itself.

Side: activities. What it holds at the end of an attempt goes back with the outcome, and comes again with the next call. Several
graphs may use it at a time, each from threads of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple

from perdure.contract.thread import SavedCheckpoint
from perdure.graph.saver import WindowSaver

__all__ = ["NestedSaver"]


class NestedSaver(WindowSaver):
    """A `WindowSaver` for many threads."""

    def __init__(self, saved: Sequence[SavedCheckpoint] = ()) -> None:
        self._lock = threading.RLock()
        super().__init__(saved)

    def export(self, *, latest: bool = False) -> list[SavedCheckpoint]:
        with self._lock:
            return super().export(latest=latest)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        with self._lock:
            return super().put(config, checkpoint, metadata, new_versions)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        with self._lock:
            super().put_writes(config, writes, task_id, task_path)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        with self._lock:
            return super().get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        with self._lock:
            found = [*super().list(config, filter=filter, before=before, limit=limit)]
        return iter(found)
