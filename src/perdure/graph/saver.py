"""The workflow-side checkpointer: the latest checkpoint of each namespace, by reference.

Side: workflow. A thread's truth is its history; this saver only lets LangGraph resume, so it keeps what resuming needs
and nothing else: per namespace the last checkpoint and the writes that wait on it. Nothing is serialised until the
thread continues as new (`export`).

When a graph saves a checkpoint, the step before is over, and with it the namespaces of the subgraphs that its tasks ran;
they are dropped. Subgraphs that keep a memory of their own (`checkpointer=True`) have namespaces without task ids and stay.

Not guaranteed: history. `alist` knows the latest checkpoint only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    copy_checkpoint,
)

from perdure._compat import CONF, NS_END, NS_SEP, configurable
from perdure.contract.thread import SavedCheckpoint

__all__ = ["LatestSaver"]


@dataclass
class _Slot:
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    parent_id: str | None


# (task id, index) to (channel, value, task path): LangGraph's own savers key writes like this.
_Writes = dict[tuple[str, int], tuple[str, Any, str]]


class LatestSaver(BaseCheckpointSaver[int]):
    """One per thread workflow; `thread_id` plays no part."""

    def __init__(self, saved: Sequence[SavedCheckpoint] = ()) -> None:
        super().__init__()
        self._slots: dict[str, _Slot] = {}
        # By namespace and checkpoint id: LangGraph may save a checkpoint's first writes before the checkpoint.
        self._writes: dict[str, dict[str, _Writes]] = {}
        for item in saved:
            self._slots[item.namespace] = _Slot(item.checkpoint, item.metadata, item.parent_id)
            writes: _Writes = {
                (task, index): (channel, value, path) for task, index, channel, value, path in item.writes
            }
            self._writes[item.namespace] = {item.checkpoint["id"]: writes}

    def export(self) -> list[SavedCheckpoint]:
        """All that a new workflow run needs to go on, in a stable order."""
        return [
            SavedCheckpoint(
                namespace=namespace,
                checkpoint=slot.checkpoint,
                metadata=slot.metadata,
                parent_id=slot.parent_id,
                writes=[
                    [*key, *write] for key, write in self._writes_of(namespace, slot.checkpoint["id"]).items()
                ],
            )
            for namespace, slot in self._slots.items()
        ]

    @property
    def step(self) -> int:
        """The step of the root graph's latest checkpoint; -2, as LangGraph counts, when there is none."""
        slot = self._slots.get("")
        return -2 if slot is None else int(slot.metadata.get("step", -2))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        namespace: str = configurable(config).get("checkpoint_ns", "")
        self._forget_below(namespace)
        self._slots[namespace] = _Slot(
            copy_checkpoint(checkpoint), metadata, configurable(config).get("checkpoint_id")
        )
        self._writes[namespace] = {checkpoint["id"]: self._writes_of(namespace, checkpoint["id"])}
        return _config(config, namespace, checkpoint["id"])

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        by_checkpoint = self._writes.setdefault(configurable(config).get("checkpoint_ns", ""), {})
        kept = by_checkpoint.setdefault(configurable(config)["checkpoint_id"], {})
        for index, (channel, value) in enumerate(writes):
            key = (task_id, WRITES_IDX_MAP.get(channel, index))
            if key[1] >= 0 and key in kept:
                continue
            kept[key] = (channel, value, task_path)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        namespace: str = configurable(config).get("checkpoint_ns", "")
        slot = self._slots.get(namespace)
        wanted = configurable(config).get("checkpoint_id")
        if slot is None or (wanted and wanted != slot.checkpoint["id"]):
            return None
        return CheckpointTuple(
            config=_config(config, namespace, slot.checkpoint["id"]),
            # LangGraph changes the checkpoint it was given while a step runs.
            checkpoint=copy_checkpoint(slot.checkpoint),
            metadata=slot.metadata,
            parent_config=_config(config, namespace, slot.parent_id) if slot.parent_id else None,
            pending_writes=[
                (task_id, channel, value)
                for (task_id, _), (channel, value, _) in self._writes_of(
                    namespace, slot.checkpoint["id"]
                ).items()
            ],
        )

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        found = None if config is None or before is not None else self.get_tuple(config)
        if found is not None and limit != 0:
            yield found

    def delete_thread(self, thread_id: str) -> None:
        self._slots.clear()
        self._writes.clear()

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self.put_writes(config, writes, task_id, task_path)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self.get_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for item in self.list(config, filter=filter, before=before, limit=limit):
            yield item

    async def adelete_thread(self, thread_id: str) -> None:
        self.delete_thread(thread_id)

    def _writes_of(self, namespace: str, checkpoint_id: str) -> _Writes:
        return self._writes.get(namespace, {}).get(checkpoint_id, {})

    def _forget_below(self, namespace: str) -> None:
        prefix = namespace + NS_SEP if namespace else ""
        for other in [ns for ns in self._slots if ns != namespace and ns.startswith(prefix)]:
            if NS_END in other[len(prefix) :]:
                del self._slots[other]
                self._writes.pop(other, None)


def _config(config: RunnableConfig, namespace: str, checkpoint_id: str | None) -> RunnableConfig:
    return {
        CONF: {
            "thread_id": configurable(config).get("thread_id"),
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }
