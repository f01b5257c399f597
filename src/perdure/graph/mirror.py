"""The workflow-side twin of a compiled graph.

Side: workflow. Same channels, reducers, routers and edges as the user's graph; the body of each node is replaced by a
proxy that asks a `NodeCaller` to run it. A node that is a compiled graph is mirrored in turn. The user's graph object
is never changed and goes on working outside Temporal.

What stays in the workflow: nodes without a body of their own, nodes declared `durable(run_in="workflow")`, all writers
(state updates, conditional edges), and the retries and time limits of a node that is a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NoReturn, Protocol

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config

from perdure._compat import DEFAULT_BOUND, ChannelWrite, Pregel, PregelNode, configurable, untraced
from perdure.graph.channels import whole_channel
from perdure.graph.limits import RecursionLimits
from perdure.graph.policy import graph_retry_policies, resolve_policy

__all__ = ["CALLER_KEY", "Nested", "NodeCaller", "NodeProxy", "find_node", "mirror"]

CALLER_KEY = "__perdure_caller"
"""Where the thread workflow puts its `NodeCaller` in `configurable`."""


class NodeCaller(Protocol):
    """Runs the body of one node call, wherever that is."""

    limits: RecursionLimits

    async def __call__(self, proxy: NodeProxy, input: Any, config: RunnableConfig) -> Any: ...


class NodeProxy(Runnable[Any, Any]):
    """Stands in the mirror where the user's node body stands in the original graph."""

    def __init__(
        self,
        path: tuple[str, ...],
        node: PregelNode,
        graph: Pregel[Any, Any, Any, Any],
        heartbeat: timedelta | None = None,
    ) -> None:
        self.path = path
        self.name = path[-1]
        self.policy = resolve_policy(node, graph, heartbeat=heartbeat)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        if config is None:
            raise RuntimeError(f"node {self.name!r} of a mirrored graph was called outside of a run")
        caller: NodeCaller = configurable(config)[CALLER_KEY]
        return await caller(self, input, config)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> NoReturn:
        raise RuntimeError(f"node {self.name!r} of a mirrored graph cannot be called synchronously")


class _CallThenWrite(Runnable[Any, Any]):
    """A node's proxy and what writes its result to the channels."""

    def __init__(self, proxy: NodeProxy, writers: Sequence[Runnable[Any, Any]]) -> None:
        self.name = proxy.name
        self._proxy = proxy
        self._writers = [untraced(writer) for writer in writers]

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        output = await self._proxy.ainvoke(input, config)
        # For routers that call `get_config()`.
        before = var_child_runnable_config.set(config)
        try:
            for writer in self._writers:
                output = await writer.ainvoke(output, config)
        finally:
            var_child_runnable_config.reset(before)
        return output

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> NoReturn:
        self._proxy.invoke(input, config)


class Nested(Runnable[Any, Any]):
    """Stands where a subgraph is a node: the mirrored subgraph, with a recursion limit that lasts through continuing as new."""

    def __init__(self, name: str, graph: Pregel[Any, Any, Any, Any]) -> None:
        self.name = name
        self.graph = graph

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        if config is None:
            raise RuntimeError(f"subgraph {self.name!r} of a mirrored graph was called outside of a run")
        caller: NodeCaller = configurable(config)[CALLER_KEY]
        with caller.limits.nested(self.graph, config) as limited:
            return await self.graph.ainvoke(input, limited, **kwargs)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> NoReturn:
        raise RuntimeError(f"subgraph {self.name!r} of a mirrored graph cannot be called synchronously")


def mirror(
    graph: Pregel[Any, Any, Any, Any], path: tuple[str, ...] = (), *, heartbeat: timedelta | None = None
) -> Pregel[Any, Any, Any, Any]:
    """The twin of `graph`; `path` is the node path that leads to it from the root graph, `heartbeat` the limit of nodes that
    declare none."""
    nodes = {name: _mirror_node(node, (*path, name), graph, heartbeat) for name, node in graph.nodes.items()}
    update: dict[str, Any] = {
        "nodes": nodes,
        "channels": {name: whole_channel(channel) for name, channel in graph.channels.items()},
        # Temporal retries the activity; LangGraph's own policies are mapped onto that (`resolve_policy`).
        "retry_policy": (),
        "cache": None,
        # A run may stop anywhere to continue as new, so there is no subgraph without checkpoints.
        "checkpointer": None if graph.checkpointer is False else graph.checkpointer,
        # Callbacks, stores and debug output are side effects: they belong where the node really runs.
        "store": None,
        "debug": False,
        "config": {k: v for k, v in (graph.config or {}).items() if k != "callbacks"} or None,
    }
    return graph.copy(update)


def _mirror_node(
    node: PregelNode,
    path: tuple[str, ...],
    graph: Pregel[Any, Any, Any, Any],
    heartbeat: timedelta | None,
) -> PregelNode:
    if isinstance(node.bound, Pregel):
        inner = mirror(node.bound, path, heartbeat=heartbeat)
        # No activity stands for a subgraph: LangGraph itself repeats it, and ends it in time.
        retry = graph_retry_policies(node, graph) or None
        bound = Nested(path[-1], inner)
        return node.copy({"bound": bound, "subgraphs": [inner], "retry_policy": retry, "cache_policy": None})
    if node.bound is DEFAULT_BOUND or isinstance(node.bound, ChannelWrite):
        return node.copy({})
    proxy = NodeProxy(path, node, graph, heartbeat)
    if proxy.policy.run_in == "workflow":
        return node.copy({})
    twin = node.copy(
        {"bound": proxy, "subgraphs": [], "retry_policy": None, "timeout": None, "cache_policy": None}
    )
    # What LangGraph would combine it to, without the callbacks that nobody in a workflow listens to.
    twin.node = _CallThenWrite(proxy, twin.flat_writers)
    return twin


def find_node(
    graph: Pregel[Any, Any, Any, Any], path: list[str]
) -> tuple[Pregel[Any, Any, Any, Any], PregelNode]:
    """The original node that `path` leads to, and the graph that it belongs to.

    Raises:
        KeyError: when this version of the graph has no such node; its message is the path.
    """
    owner = graph
    for name in path[:-1]:
        step = owner.nodes.get(name)
        if step is None or not isinstance(step.bound, Pregel):
            raise KeyError("/".join(path))
        owner = step.bound
    node = owner.nodes.get(path[-1])
    if node is None:
        raise KeyError("/".join(path))
    return owner, node
