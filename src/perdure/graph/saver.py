"""The checkpointer: a window of the latest checkpoints of each namespace, by reference.

Side: both. A thread has one in its workflow. An attempt of a node has one for the graphs that the node runs by itself, several
at a time from threads of their own: what it holds at the end goes back with the outcome, and comes again with the next call.

In the workflow, a thread's truth is its history; this saver lets LangGraph resume, look back and fork, within the window.
Nothing is serialised until the thread continues as new (`export`), and then a checkpoint is told by what it changed.

When a graph saves a checkpoint, the step before is over, and with it the namespaces of the subgraphs that its tasks ran;
they stay as long as a checkpoint of the graph does that is older than they are. Subgraphs that keep a memory of their own
(`checkpointer=True`) have namespaces without task ids and stay for good.

Invariant: what a checkpoint holds does not change any more, also when a reducer changes its list in place; the values in
such a list are the graph's own.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    copy_checkpoint,
)

from perdure._compat import CONF, NS_END, NS_SEP, DeltaSnapshot, configurable
from perdure.contract.thread import SavedCheckpoint
from perdure.graph.deltas import delta, restored
from perdure.graph.ids import time_of

__all__ = ["WindowSaver", "own_namespace"]


@dataclass
class _Slot:
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    parent_id: str | None


# (task id, index) to (channel, value, task path): LangGraph's own savers key writes like this.
_Writes = dict[tuple[str, int], tuple[str, Any, str]]

_CONTAINERS = (list, dict, set)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _one_at_a_time(
    method: Callable[Concatenate[WindowSaver, _P], _T],
) -> Callable[Concatenate[WindowSaver, _P], _T]:
    @functools.wraps(method)
    def locked(self: WindowSaver, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self.lock:
            return method(self, *args, **kwargs)

    return locked


class WindowSaver(BaseCheckpointSaver[int]):
    """`thread_id` plays no part. `keep` is how many checkpoints a namespace keeps, at least 1."""

    def __init__(self, saved: Sequence[SavedCheckpoint] = (), *, keep: int = 1) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self._keep = max(1, keep)
        # By namespace and checkpoint id, oldest first.
        self._slots: dict[str, dict[str, _Slot]] = {}
        # The same keys: LangGraph may save a checkpoint's first writes before the checkpoint.
        self._writes: dict[str, dict[str, _Writes]] = {}
        for item in saved:
            self._restore(item)

    def _restore(self, item: SavedCheckpoint) -> None:
        before = self._latest(item.namespace)
        values = restored(item, before.checkpoint["channel_values"] if before else {})
        checkpoint: Checkpoint = item.checkpoint | {"channel_values": values}
        self._add(item.namespace, checkpoint, item.metadata, item.parent_id)
        self._writes.setdefault(item.namespace, {})[checkpoint["id"]] = {
            (task, index): (channel, value, path) for task, index, channel, value, path in item.writes
        }

    @_one_at_a_time
    def export(self, *, latest: bool = False) -> list[SavedCheckpoint]:
        """All that a new workflow run needs to go on, in a stable order; with the window, or `latest` checkpoints alone."""
        saved: list[SavedCheckpoint] = []
        for namespace, slots in self._slots.items():
            before: Checkpoint | None = None
            for slot in list(slots.values())[-1:] if latest else slots.values():
                writes = self._writes_of(namespace, slot.checkpoint["id"])
                full, same, lists = delta(slot.checkpoint, before)
                saved.append(
                    SavedCheckpoint(
                        namespace=namespace,
                        checkpoint={**slot.checkpoint, "channel_values": full},
                        metadata=slot.metadata,
                        parent_id=slot.parent_id,
                        writes=[[*key, *write] for key, write in writes.items()],
                        same=same,
                        lists=lists,
                    )
                )
                before = slot.checkpoint
        return saved

    def forget_after(self, checkpoint_id: str) -> bool:
        """Drop what was saved after the root graph's checkpoint of that id; "" drops everything. Whether that could be done:
        the window may not hold it any more."""
        if not checkpoint_id:
            self.delete_thread("")
            return True
        if checkpoint_id not in self._slots.get("", {}):
            return False
        for namespace, slots in list(self._slots.items()):
            for newer in [key for key in slots if key > checkpoint_id]:
                del slots[newer]
                self._writes.get(namespace, {}).pop(newer, None)
            if not slots:
                del self._slots[namespace]
        return True

    @_one_at_a_time
    def keep_latest(self) -> None:
        """Drop all but the latest checkpoint of each namespace, and what the older ones' subgraphs saved."""
        for namespace, slots in self._slots.items():
            for checkpoint_id in list(slots)[:-1]:
                del slots[checkpoint_id]
                self._writes.get(namespace, {}).pop(checkpoint_id, None)
        self._forget_before("", self.oldest_id())

    def step(self, checkpoint_id: str | None = None, *, namespace: str = "") -> int:
        """The step of a graph's latest, or named, checkpoint; -2, as LangGraph counts, when there is none."""
        slot = self._slots.get(namespace, {}).get(checkpoint_id) if checkpoint_id else self._latest(namespace)
        return -2 if slot is None else int(slot.metadata.get("step", -2))

    def latest_id(self) -> str:
        """The id of the root graph's latest checkpoint; ids grow with time. "" when there is none."""
        return next(reversed(self._slots.get("") or {"": None}))

    def oldest_id(self) -> str:
        """The id of the root graph's oldest checkpoint in the window; "" when there is none."""
        return next(iter(self._slots.get("") or {"": None}))

    @_one_at_a_time
    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        namespace: str = configurable(config).get("checkpoint_ns", "")
        parent: str | None = configurable(config).get("checkpoint_id")
        kept: Checkpoint = {
            **copy_checkpoint(checkpoint),
            "channel_values": self._values(namespace, checkpoint, parent),
            "ts": time_of(checkpoint["id"]),
        }
        self._add(namespace, kept, metadata, parent)
        slots = self._slots[namespace]
        while len(slots) > self._keep and _is_whole(list(slots.values())[1]):
            oldest = next(iter(slots))
            del slots[oldest]
            self._writes.get(namespace, {}).pop(oldest, None)
        self._forget_before(namespace, next(iter(slots)))
        return _config(config, namespace, checkpoint["id"])

    @_one_at_a_time
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
            kept[key] = (channel, _copied(value), task_path)

    @_one_at_a_time
    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        namespace: str = configurable(config).get("checkpoint_ns", "")
        wanted = configurable(config).get("checkpoint_id")
        slot = self._slots.get(namespace, {}).get(wanted) if wanted else self._latest(namespace)
        return None if slot is None else self._tuple(config, namespace, slot)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        with self.lock:
            found = [*self._listed(config, filter=filter, before=before, limit=limit)]
        return iter(found)

    def _listed(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Iterator[CheckpointTuple]:
        if config is None:
            return
        namespace: str = configurable(config).get("checkpoint_ns", "")
        wanted = configurable(config).get("checkpoint_id")
        bound = configurable(before).get("checkpoint_id") if before else None
        found = 0
        for checkpoint_id, slot in reversed(self._slots.get(namespace, {}).items()):
            if limit is not None and found >= limit:
                return
            if (wanted and checkpoint_id != wanted) or (bound and checkpoint_id >= bound):
                continue
            if not _fits(slot.metadata, filter):
                continue
            found += 1
            yield self._tuple(config, namespace, slot)

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

    def _latest(self, namespace: str) -> _Slot | None:
        slots = self._slots.get(namespace)
        return next(reversed(slots.values())) if slots else None

    def _add(
        self, namespace: str, checkpoint: Checkpoint, metadata: CheckpointMetadata, parent_id: str | None
    ) -> None:
        slots = self._slots.setdefault(namespace, {})
        slots.pop(checkpoint["id"], None)
        slots[checkpoint["id"]] = _Slot(checkpoint, metadata, parent_id)

    def _values(self, namespace: str, checkpoint: Checkpoint, parent: str | None) -> dict[str, Any]:
        """The channel values; containers are copied, once for each version of a channel. Versions are counted along a branch:
        those of another one are of other values."""
        before = self._slots.get(namespace, {}).get(parent) if parent else None
        old_versions = before.checkpoint["channel_versions"] if before else {}
        old = before.checkpoint["channel_values"] if before else {}
        versions = checkpoint["channel_versions"]
        return {
            name: old[name]
            if name in old and name in versions and old_versions.get(name) == versions[name]
            else _copied(value)
            for name, value in checkpoint["channel_values"].items()
        }

    def _tuple(self, config: RunnableConfig, namespace: str, slot: _Slot) -> CheckpointTuple:
        # LangGraph changes the checkpoint it was given while a step runs.
        checkpoint = copy_checkpoint(slot.checkpoint)
        checkpoint["channel_values"] = {
            name: _copied(value) for name, value in slot.checkpoint["channel_values"].items()
        }
        return CheckpointTuple(
            config=_config(config, namespace, checkpoint["id"]),
            checkpoint=checkpoint,
            metadata=slot.metadata,
            parent_config=_config(config, namespace, slot.parent_id) if slot.parent_id else None,
            pending_writes=list(self._pending(namespace, checkpoint["id"])),
        )

    def _pending(self, namespace: str, checkpoint_id: str) -> Iterator[PendingWrite]:
        # In LangGraph's order of tasks, which savers owe it: they came in the order in which tasks ended.
        writes = self._writes_of(namespace, checkpoint_id).items()
        for (task_id, _), (channel, value, _) in sorted(writes, key=lambda item: (item[1][2], *item[0])):
            yield task_id, channel, value

    def _writes_of(self, namespace: str, checkpoint_id: str) -> _Writes:
        return self._writes.get(namespace, {}).get(checkpoint_id, {})

    def _forget_before(self, namespace: str, oldest: str) -> None:
        """Drop what subgraphs of this namespace's tasks saved before its oldest checkpoint was made. Ids tell that, which grow
        with time: a graph that saves in the background saves a checkpoint while its next step's subgraphs save theirs."""
        prefix = namespace + NS_SEP if namespace else ""
        for other in [ns for ns in self._slots if ns != namespace and ns.startswith(prefix)]:
            if NS_END not in other[len(prefix) :]:
                continue
            slots = self._slots[other]
            for checkpoint_id in [key for key in slots if key < oldest]:
                del slots[checkpoint_id]
                self._writes.get(other, {}).pop(checkpoint_id, None)
            if not slots:
                del self._slots[other]
                self._writes.pop(other, None)


def own_namespace(graph: Any, namespace: str) -> str:
    """Where LangGraph keeps the checkpoints of a graph that runs as the task of that namespace: a graph with a memory of its
    own has one place for all its runs."""
    if graph.checkpointer is not True:
        return namespace
    return NS_SEP.join(part.split(NS_END)[0] for part in namespace.split(NS_SEP))


def _copied(value: Any) -> Any:
    if isinstance(value, DeltaSnapshot):
        # A delta channel takes the plain value as well, and that can be told and compared like any other.
        value = value.value
    return value.copy() if type(value) in _CONTAINERS else value


def _is_whole(slot: _Slot) -> bool:
    """Whether a checkpoint can do without those before it: a `DeltaChannel` is rebuilt from its writes since its last
    snapshot. (In a mirrored graph it always can.)"""
    counted: Mapping[str, Any] = slot.metadata.get("counters_since_delta_snapshot") or {}
    checkpoint = slot.checkpoint
    return all(
        name in checkpoint["channel_values"] or name not in checkpoint["channel_versions"] for name in counted
    )


def _fits(metadata: CheckpointMetadata, filter: dict[str, Any] | None) -> bool:
    return not filter or all(metadata.get(key) == value for key, value in filter.items())


def _config(config: RunnableConfig, namespace: str, checkpoint_id: str | None) -> RunnableConfig:
    return {
        CONF: {
            "thread_id": configurable(config).get("thread_id"),
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }
