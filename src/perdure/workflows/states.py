"""A thread's graph and its checkpoints: what the state is, was, and is set to by hand.

Side: workflow. A plain class; it never runs a node.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langgraph.types import StateSnapshot
from langgraph.types import StateUpdate as GraphUpdate
from temporalio import workflow

from perdure._compat import CONF, CONFIG_KEY_THREAD_ID, Pregel, configurable
from perdure.contract.state import HistoryPage, HistoryRequest, SnapshotTask, StateUpdate, ThreadSnapshot
from perdure.contract.thread import CarryOver, PendingInterrupt, ThreadStart
from perdure.graph.ids import WorkflowIds
from perdure.graph.inline import graph_scope
from perdure.graph.saver import WindowSaver

__all__ = ["EXTERN_GRAPH", "States"]

EXTERN_GRAPH = "perdure.graph"
# A query's answer must fit into one message, also after what Temporal adds to it.
_PAGE_BYTES = 1_000_000


class States:
    """`bind` gives it the graph, `name` is the graph's; before that, and when there is no such graph, a thread has no
    state."""

    def __init__(self, start: ThreadStart) -> None:
        carry = start.carry or CarryOver()
        self.saver = WindowSaver(carry.checkpoints, keep=start.keep_checkpoints)
        self.ids = WorkflowIds(carry.ticks)
        self.name = ""
        self._graph: Pregel[Any, Any, Any, Any] | None = None

    @property
    def graph(self) -> Pregel[Any, Any, Any, Any]:
        if self._graph is None:
            raise RuntimeError("the thread's graph is not loaded")
        return self._graph

    def bind(self, name: str) -> None:
        """Raises GraphNotFound when this worker has no graph of that name."""
        if name != self.name:
            mirrored = workflow.extern_functions()[EXTERN_GRAPH](name)
            self._graph = mirrored.copy({"checkpointer": self.saver})
            self.name = name

    def latest(self) -> StateSnapshot:
        return self.graph.get_state(_config())

    def latest_or_none(self) -> StateSnapshot | None:
        try:
            return self.latest() if self._graph is not None else None
        except Exception:  # noqa: BLE001 - writes that failed the run fail here again; the rest can still be told
            return None

    def history(self, request: HistoryRequest) -> HistoryPage:
        """As many as fit into one answer, at least one if there is one."""
        if self._graph is None:
            return HistoryPage([])
        converter = workflow.payload_converter()
        page: list[ThreadSnapshot] = []
        size = 0
        for snapshot in self._snapshots(request):
            told = _told(snapshot)
            size += len(converter.to_payload(told).data)
            if page and size > _PAGE_BYTES:
                break
            page.append(told)
        return HistoryPage(page)

    async def update(self, update: StateUpdate) -> str:
        """Write values by hand, as LangGraph's `update_state`; the new checkpoint's id.

        Raises:
            Exception: whatever LangGraph says of an update that does not fit.
        """
        at = _config(checkpoint_id=update.checkpoint_id)
        with graph_scope(self.ids):
            if update.supersteps:
                steps = [
                    [GraphUpdate(write.values, write.as_node) for write in step] for step in update.supersteps
                ]
                config = await self.graph.abulk_update_state(at, steps)
            else:
                config = await self.graph.aupdate_state(at, update.values, as_node=update.as_node)
        return str(configurable(config)["checkpoint_id"])

    def _snapshots(self, request: HistoryRequest) -> Iterator[StateSnapshot]:
        config = _config(namespace=request.namespace)
        if request.checkpoint_id is not None or request.subgraphs:
            at = _config(checkpoint_id=request.checkpoint_id, namespace=request.namespace)
            found = self.graph.get_state(at, subgraphs=request.subgraphs)
            return iter([found] if found.metadata is not None else [])
        before = _config(checkpoint_id=request.before) if request.before else None
        return self.graph.get_state_history(config, before=before, limit=request.limit, filter=request.filter)


def _config(*, checkpoint_id: str | None = None, namespace: str = "") -> Any:
    own = {CONFIG_KEY_THREAD_ID: workflow.info().workflow_id, "checkpoint_ns": namespace}
    if checkpoint_id:
        own["checkpoint_id"] = checkpoint_id
    return {CONF: own}


def _namespace(state: Any) -> str | None:
    """Of what LangGraph tells of a task that is a graph: its state, or where that is."""
    config = state.config if isinstance(state, StateSnapshot) else state
    return None if config is None else str(configurable(config).get("checkpoint_ns", ""))


def _told(snapshot: StateSnapshot) -> ThreadSnapshot:
    metadata: dict[str, Any] = dict(snapshot.metadata or {})
    own = configurable(snapshot.config)
    parent = configurable(snapshot.parent_config) if snapshot.parent_config else {}
    return ThreadSnapshot(
        checkpoint_id=str(own["checkpoint_id"]),
        values=snapshot.values,
        next=list(snapshot.next),
        step=int(metadata.get("step", 0)),
        source=str(metadata.get("source", "")),
        created_at=snapshot.created_at or "",
        parent_id=parent.get("checkpoint_id"),
        namespace=str(own.get("checkpoint_ns", "")),
        tasks=[
            SnapshotTask(
                id=task.id,
                name=task.name,
                result=task.result,
                error=None if task.error is None else str(task.error),
                interrupts=[
                    PendingInterrupt(id=item.id, value=item.value, node=task.name) for item in task.interrupts
                ],
                namespace=_namespace(task.state),
                state=_told(task.state) if isinstance(task.state, StateSnapshot) else None,
            )
            for task in snapshot.tasks
        ],
        metadata=metadata,
    )
