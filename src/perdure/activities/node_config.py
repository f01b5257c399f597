"""The RunnableConfig of one attempt, as LangGraph would have built it, with live objects of this process.

Side: activities.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.runtime import ExecutionInfo, RunControl, Runtime
from langgraph.store.base import BaseStore
from langgraph.types import StreamWriter
from temporalio import activity

from perdure._compat import (
    CONF,
    CONFIG_KEY_CHECKPOINT_ID,
    CONFIG_KEY_CHECKPOINT_NS,
    CONFIG_KEY_CHECKPOINTER,
    CONFIG_KEY_DURABILITY,
    CONFIG_KEY_NODE_ERROR,
    CONFIG_KEY_READ,
    CONFIG_KEY_RUNTIME,
    CONFIG_KEY_SCRATCHPAD,
    CONFIG_KEY_SEND,
    CONFIG_KEY_TASK_ID,
    CONFIG_KEY_THREAD_ID,
    LazyAtomicCounter,
    Pregel,
    PregelNode,
    PregelScratchpad,
)
from perdure.contract.node import NodeInput, Scratch
from perdure.contract.policy import METADATA_KEY
from perdure.contract.thread import SavedCheckpoint
from perdure.graph.saver import WindowSaver
from perdure.graph.user import server_info

__all__ = ["AttemptScope"]

_Graph = Pregel[Any, Any, Any, Any]


class AttemptScope:
    """`config` for the node; `writes` is what the node sends through LangGraph's own write function.

    `store` is the worker's; a graph's own wins. `writer` is what the node's custom events go to. `control` tells whether the node asked the run to drain.
    """

    def __init__(
        self,
        root: _Graph,
        graph: _Graph,
        node: PregelNode,
        given: NodeInput,
        *,
        store: BaseStore | None,
        writer: StreamWriter | None = None,
    ) -> None:
        self._writer: dict[str, Any] = {"stream_writer": writer} if writer is not None else {}
        self._store = graph.store or root.store or store
        self.writes: deque[tuple[str, Any]] = deque()
        self.control = RunControl()
        self._saver = WindowSaver(given.nested)
        own = [config for config in (root.config, graph.config if graph is not root else None) if config]
        metadata = {k: v for k, v in (node.metadata or {}).items() if k != METADATA_KEY}
        merged = merge_configs(
            *own, {"metadata": metadata, "tags": list(node.tags or ())}, _run_config(given)
        )
        merged[CONF] = {**merged.get(CONF, {}), **self._internals(root, graph, given)}
        self.config: RunnableConfig = merged

    def listen(self, handlers: Sequence[BaseCallbackHandler]) -> None:
        """Have these told what the node's models and tools do."""
        self.config = merge_configs(self.config, {"callbacks": list(handlers)})

    def nested(self) -> list[SavedCheckpoint]:
        """The checkpoints of graphs that the node ran by itself: where they stopped."""
        return self._saver.export()

    def _internals(self, root: _Graph, graph: _Graph, given: NodeInput) -> dict[str, Any]:
        conf: dict[str, Any] = given.config[CONF]
        info = activity.info()
        scratch = given.scratch
        runtime = Runtime(
            context=given.context,
            store=self._store,
            previous=given.previous,
            control=self.control,
            **self._writer,
            execution_info=ExecutionInfo(
                checkpoint_id=conf.get(CONFIG_KEY_CHECKPOINT_ID) or "",
                checkpoint_ns=conf.get(CONFIG_KEY_CHECKPOINT_NS, ""),
                task_id=conf[CONFIG_KEY_TASK_ID],
                thread_id=conf.get(CONFIG_KEY_THREAD_ID),
                node_attempt=info.attempt,
                node_first_attempt_time=info.scheduled_time.timestamp(),
            ),
            server_info=server_info(conf),
        )
        internals: dict[str, Any] = {
            CONFIG_KEY_SEND: self.writes.extend,
            # LangGraph's tool node takes the channel names from the second argument of this partial.
            CONFIG_KEY_READ: partial(_read, scratch, given.channels or {}),
            CONFIG_KEY_CHECKPOINTER: self._saver,
            CONFIG_KEY_CHECKPOINT_ID: None,
            # The saver is memory: to wait for it costs nothing.
            CONFIG_KEY_DURABILITY: "sync",
            CONFIG_KEY_RUNTIME: runtime,
            CONFIG_KEY_SCRATCHPAD: PregelScratchpad(
                step=scratch.step,
                stop=scratch.stop,
                call_counter=LazyAtomicCounter(),
                interrupt_counter=LazyAtomicCounter(),
                # Answers reach a task by interrupt id, never as the one value for whoever asks first.
                get_null_resume=_nothing,
                resume=list(scratch.resume),
                subgraph_counter=LazyAtomicCounter(),
            ),
        }
        if given.error is not None:
            internals[CONFIG_KEY_NODE_ERROR] = given.error
        return internals


def _read(_scratch: Scratch, channels: dict[str, Any], select: str | list[str], _fresh: bool = False) -> Any:
    if isinstance(select, str):
        return channels[select]
    return {name: channels[name] for name in select if name in channels}


def _nothing(_consume: bool = False) -> None:
    return None


def _run_config(given: NodeInput) -> RunnableConfig:
    config = {key: value for key, value in given.config.items() if value is not None}
    return RunnableConfig(**config)
