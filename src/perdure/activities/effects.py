"""Making effects, and undoing them: where their functions run.

Side: activities. An attempt of an effect is an attempt of a node as far as heartbeats, limits and failures go; a later one
is in doubt, for the one before may have happened.
"""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.errors import GraphInterrupt
from temporalio import activity
from temporalio.common import RawValue

from perdure._compat import Pregel, PregelNode
from perdure.activities.failure import undo_failure
from perdure.activities.heartbeat import Heartbeats
from perdure.activities.run_node import Body, NodeActivities
from perdure.contract import names
from perdure.contract.effect import Effect, UndoCall
from perdure.contract.node import NodeCall, NodeInput
from perdure.contract.task import TaskCall
from perdure.errors import EffectInDoubt
from perdure.graph.effect import EffectSpec, bound_call
from perdure.graph.effect_index import EffectIndex
from perdure.graph.mirror import find_node

__all__ = ["EffectActivities"]


class EffectActivities:
    """One per worker."""

    def __init__(self, nodes: NodeActivities, index: EffectIndex) -> None:
        self._nodes = nodes
        self._index = index

    @activity.defn(name=names.RUN_EFFECT)
    async def run_effect(self, call: TaskCall) -> RawValue:
        _, payload = await self._nodes.run(call, self._effect_body)
        return RawValue(payload)

    @activity.defn(name=names.RUN_UNDO)
    async def run_undo(self, call: UndoCall) -> None:
        try:
            async with Heartbeats().beating():
                spec = self._index[call.effect]
                if spec.undo is not None:
                    known = bound_call(spec, tuple(call.args), call.kwargs)
                    told = Effect(call.key, call.name, activity.info().attempt, in_doubt=call.result is None)
                    await spec.take_back(told, known | {"result": call.result, "key": call.key})
        except Exception as error:
            raise undo_failure(error, call.name, self._nodes.settings.classify) from error

    def _effect_body(self, root: Pregel[Any, Any, Any, Any], call: NodeCall) -> Body:
        assert isinstance(call, TaskCall)
        assert call.effect is not None
        graph, node = find_node(root, call.path[:-1])
        attempt = activity.info().attempt
        told = Effect(call.effect.key, call.path[-1], attempt, in_doubt=call.effect.in_doubt or attempt > 1)
        bound = _Made(self._index[call.task], told)
        alone = PregelNode(channels=[], triggers=[], bound=bound, metadata=node.metadata)
        return Body(graph, alone, _arguments, needs_graph=False)


class _Made(Runnable[Any, Any]):
    """An effect's function as the body of a node."""

    def __init__(self, spec: EffectSpec, told: Effect) -> None:
        self._spec = spec
        self._told = told

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        spec, told = self._spec, self._told
        given, named = input
        if told.in_doubt and spec.in_doubt == "fail":
            raise EffectInDoubt(
                f"effect {told.name!r} was interrupted and may have happened (key {told.key}): see whether it did"
            )
        if told.in_doubt and spec.check is not None and spec.in_doubt == "check":
            found = await spec.look(told, bound_call(spec, given, named) | {"key": told.key})
            if found is not None:
                return found
        try:
            return await spec.run(told, given, named)
        except GraphInterrupt as stop:
            raise RuntimeError(
                f"effect {told.name!r} called interrupt(): ask before the effect, in the node that calls it"
            ) from stop

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        raise RuntimeError("an effect is run asynchronously here")


def _arguments(given: NodeInput) -> Any:
    return tuple(given.value["args"]), given.value["kwargs"]
