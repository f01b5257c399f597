"""The activity that runs one attempt of one node, with the user's own graph, its real config, runtime and store.

Side: activities. Interrupts and parent commands come back as data, failures as one typed `ApplicationError` whose retry
verdict was decided here, where the exception is.

Guaranteed: an attempt heartbeats by itself, is cancelled within seconds when its run is, and never reports a result that
Temporal could not store. Not guaranteed: that a node runs once; an attempt whose answer was lost is made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from perdure._compat import ParentCommand, PregelNode, set_config_context
from perdure.activities.failure import node_failure
from perdure.activities.heartbeat import Heartbeats, remembered
from perdure.activities.node_config import AttemptScope
from perdure.activities.node_input import fetch_input
from perdure.activities.tasks import as_graph, graph_input, needs_tasks
from perdure.contract import names
from perdure.contract.node import NodeCall, NodeInput
from perdure.errors import PayloadError, PayloadTooLarge
from perdure.graph.inputs import LiveInputs
from perdure.graph.mirror import find_node
from perdure.graph.registry import GraphRegistry

__all__ = ["NodeActivities"]


class NodeActivities:
    """One per worker."""

    def __init__(self, registry: GraphRegistry, inputs: LiveInputs) -> None:
        self._registry = registry
        self._inputs = inputs

    @activity.defn(name=names.RUN_NODE)
    async def run_node(self, call: NodeCall) -> RawValue:
        graph = node = None
        heartbeats = Heartbeats()
        try:
            async with heartbeats.beating():
                graph, node = find_node(self._registry.graph(call.graph), call.path)
                given = remembered(await fetch_input(call, self._inputs))
                scope = AttemptScope(self._registry.graph(call.graph), graph, node, given)
                heartbeats.memory = scope.nested
                outcome = await _attempt(_body(call, graph, node, given), scope)
                return RawValue(_encode(outcome, call))
        except Exception as error:
            raise node_failure(error, call, graph=graph, node=node) from error


def _body(call: NodeCall, graph: Any, node: PregelNode, given: NodeInput) -> Callable[[Any], Awaitable[Any]]:
    if needs_tasks(graph, node):
        alone = as_graph(call.path[-1], node)
        return lambda config: alone.ainvoke(graph_input(given.value, given.previous), config)
    return lambda config: node.bound.ainvoke(given.value, config)


async def _attempt(body: Callable[[Any], Awaitable[Any]], scope: AttemptScope) -> dict[str, Any]:
    """What the node did, as data; keys that have nothing to say are left out."""
    outcome: dict[str, Any] = {}
    try:
        output = await _in_context(body, scope.config)
        if output is not None:
            outcome["output"] = output
    except GraphInterrupt as stop:
        outcome["interrupts"] = list(stop.args[0]) if stop.args else []
        outcome["nested"] = scope.nested()
    except ParentCommand as command:
        outcome["parent_command"] = command.args[0]
    outcome["writes"] = [list(write) for write in scope.writes]
    return {key: entry for key, entry in outcome.items() if key == "output" or entry}


async def _in_context(body: Callable[[Any], Awaitable[Any]], config: RunnableConfig) -> Any:
    async def run() -> Any:
        return await body(config)

    with set_config_context(config) as context:
        return await asyncio.create_task(run(), context=context)


def _encode(outcome: dict[str, Any], call: NodeCall) -> Payload:
    try:
        payload = activity.payload_converter().to_payload(outcome)
    except PayloadError as error:
        raise type(error)(f"the result of node {'/'.join(call.path)!r} cannot be stored: {error}") from error
    if len(payload.data) > PayloadTooLarge.limit_bytes:
        output = outcome.get("output")
        sizes = {
            key: len(activity.payload_converter().to_payload(value).data) for key, value in _entries(output)
        }
        largest = max(sizes, key=lambda key: sizes[key], default="")
        raise PayloadTooLarge(
            f"the result of node {'/'.join(call.path)!r} is {len(payload.data):,} bytes"
            + (f" (channel {largest!r}: {sizes[largest]:,})" if largest else "")
            + f", over the limit of {PayloadTooLarge.limit_bytes:,}: keep large data in a file or store and put its name in the state"
        )
    return payload


def _entries(output: Any) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in output.items()] if isinstance(output, dict) else []
