"""The activity that runs one attempt of one node, with the user's own graph, its real config, runtime and store.

Side: activities. Interrupts and parent commands come back as data, failures as one typed `ApplicationError` whose retry
verdict was decided here, where the exception is.

Guaranteed: an attempt heartbeats by itself, is cancelled within seconds when its run is, and never reports a result that
Temporal could not store. Not guaranteed: that a node runs once; an attempt whose answer was lost is made again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt
from langgraph.prebuilt import ToolNode
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from perdure._compat import (
    NS_END,
    ParentCommand,
    Pregel,
    PregelNode,
    run_in_time,
    set_config_context,
)
from perdure._compat_models import model_caller, retry_in_temporal
from perdure.activities.asking import Questions
from perdure.activities.breakers import Breakers, breakers
from perdure.activities.cache import NodeCache
from perdure.activities.effect_calls import EffectCalls
from perdure.activities.failure import judge, node_failure
from perdure.activities.heartbeat import Heartbeats, remembered
from perdure.activities.lending import Lending
from perdure.activities.meter import Meter
from perdure.activities.model_calls import ModelCalls
from perdure.activities.model_outputs import ModelOutputs
from perdure.activities.node_config import AttemptScope
from perdure.activities.node_input import NodeInputs
from perdure.activities.rate_limits import RateLimits
from perdure.activities.settings import ActivitySettings
from perdure.activities.task_mail import TaskMail, TaskNotices
from perdure.activities.task_router import TaskRouter
from perdure.activities.tasks import as_graph, graph_input, in_own_thread, needs_tasks
from perdure.activities.telling import Telling
from perdure.activities.tool_rounds import check_rounds
from perdure.contract import names
from perdure.contract.node import NodeCall, NodeInput
from perdure.contract.task import TaskCall
from perdure.contract.thread import SavedCheckpoint
from perdure.contract.usage import USED
from perdure.errors import BudgetExhausted, PayloadError, PayloadTooLarge
from perdure.graph.effect import effect_caller
from perdure.graph.effect_index import EffectIndex
from perdure.graph.inputs import LiveInputs
from perdure.graph.mirror import find_node
from perdure.graph.registry import GraphRegistry
from perdure.storage.external import sendable
from perdure.storage.store import WorkerStore
from perdure.streams.broker import Broker
from perdure.telemetry.attempts import tool_spans

__all__ = ["Body", "NodeActivities"]

# Of answers that go along, through the history, with a question that a node asks.
_MOST_ANSWERS_BYTES = 64_000


@dataclass(frozen=True)
class Body:
    """What an attempt runs: the node's body, of which graph, on which part of the input. `needs_graph` tells that it
    calls tasks, or has limits that LangGraph's runner keeps."""

    graph: Pregel[Any, Any, Any, Any]
    node: PregelNode
    value: Callable[[NodeInput], Any]
    needs_graph: bool


class NodeActivities:
    """One per worker."""

    def __init__(
        self,
        registry: GraphRegistry,
        inputs: LiveInputs,
        store: WorkerStore,
        *,
        notices: TaskNotices,
        lending: Lending,
        effects: EffectIndex,
        settings: ActivitySettings,
        rates: RateLimits | None = None,
        broker: Broker | None = None,
    ) -> None:
        self.settings = settings
        self._registry = registry
        self._effects = effects
        self._questions = Questions()
        self._breakers = Breakers()
        self._rates = rates or RateLimits({})
        self._inputs = NodeInputs(inputs, self._questions)
        self._store = store
        self._notices = notices
        self._lending = lending
        self._broker = broker
        self._calling_tasks: dict[tuple[str, ...], bool] = {}

    @activity.defn(name=names.RUN_NODE)
    async def run_node(self, call: NodeCall) -> RawValue:
        _, payload = await self.run(call, self._node_body)
        return RawValue(payload)

    async def run(
        self, call: NodeCall, find: Callable[[Pregel[Any, Any, Any, Any], NodeCall], Body]
    ) -> tuple[dict[str, Any], Payload]:
        """One attempt; its outcome, also encoded.

        Raises:
            ApplicationError: for whatever goes wrong.
        """
        body = router = effects = None
        mail = TaskMail(self._notices, self._lending, self._questions)
        own = self.settings.classify
        heartbeats = Heartbeats(call, kind_of=lambda error: judge(error, own).kind)
        meter = heartbeats.meter
        if not self.settings.client_retries:
            retry_in_temporal()
        try:
            async with heartbeats.beating(), mail.open():
                _check_attempt(call, heartbeats.attempt)
                root = self._registry.graph(call.graph)
                body = find(root, call)
                fetched, mail.near = await self._inputs.fetch(call)
                given = remembered(fetched)
                router = TaskRouter(call.call, mail, retry=body.graph.retry_policy, nested=given.nested)
                effects = EffectCalls(call.call, mail, self._effects, in_node=not isinstance(call, TaskCall))
                effect_caller.set(effects)
                breakers.set(self._breakers)
                model_caller.set(ModelCalls(heartbeats.journal, meter, self._rates, save=heartbeats.save))
                telling = Telling(call, self._broker)
                scope = AttemptScope(
                    root,
                    body.graph,
                    body.node,
                    given,
                    store=self._store.current,
                    writer=telling.writer(given),
                )
                scope.config = telling.attached(scope.config, given)
                cache = NodeCache.of(call, body.graph, body.node, body.value(given))
                if (cached := await cache.get()) is not None:
                    return cached
                nested = partial(_nested, scope, router)
                heartbeats.memory = nested
                outputs = ModelOutputs.of(body.node, self.settings.model_output)
                told = [effects.tool_calls] if self._effects else []
                scope.listen([outputs, meter.tool_calls, *tool_spans(), *told])
                with self._inputs.held(call, fetched):
                    outcome = await _attempt(_runnable(call, body, given, router), scope, nested)
                meter.check()
                telling.output(given, outcome.get("output"))
                if isinstance(body.node.bound, ToolNode):
                    check_rounds(given, outcome)
                outcome |= _notes(call, outcome, effects, outputs, heartbeats)
                await cache.put(outcome, partial(_encode, outcome, call))
                return outcome, _with_usage(outcome, call, meter)
        except Exception as error:
            # Whatever the node has made of it.
            error = meter.refused or error
            settled = any(calls is not None and calls.has_raised(error) for calls in (router, effects))
            raise self._failure(error, call, body, heartbeats, settled=settled) from error

    def _failure(
        self, error: Exception, call: NodeCall, body: Body | None, heartbeats: Heartbeats, *, settled: bool
    ) -> ApplicationError:
        if isinstance(error, BudgetExhausted):
            error.answers = heartbeats.journal.entries
        return node_failure(
            error,
            call,
            graph=body.graph if body else None,
            node=body.node if body else None,
            settled=settled,
            own=self.settings.classify,
            failures=heartbeats.failures,
            used=heartbeats.meter.usage.told(),
            attempt=min(heartbeats.attempt, call.attempts or heartbeats.attempt),
        )

    def _node_body(self, root: Pregel[Any, Any, Any, Any], call: NodeCall) -> Body:
        graph, node = find_node(root, call.path)
        key = (call.graph, *call.path)
        if key not in self._calling_tasks:
            self._calling_tasks[key] = needs_tasks(graph, node)
        return Body(graph, node, _whole_input, needs_graph=self._calling_tasks[key])


def _notes(
    call: NodeCall,
    outcome: dict[str, Any],
    effects: EffectCalls,
    outputs: ModelOutputs,
    heartbeats: Heartbeats,
) -> dict[str, Any]:
    """What else there is to tell: of the point of no return, and for whoever reads the history."""
    told: dict[str, Any] = {
        "commit": effects.committed,
        "outputs": outputs.notes,
        "failures": heartbeats.failures,
    }
    if outcome.get("interrupts") and not isinstance(call, TaskCall):
        # What a person is asked about must not be another draft when they have said yes to it.
        told["answers"] = heartbeats.journal.first(_MOST_ANSWERS_BYTES)
    return {name: entry for name, entry in told.items() if entry}


def _with_usage(outcome: dict[str, Any], call: NodeCall, meter: Meter) -> Payload:
    """The outcome, encoded, with what is not in what is cached: it was used once."""
    used = meter.usage.told()
    if used:
        outcome["usage"] = used
    payload = _encode(outcome, call)
    if used:
        payload.metadata[USED] = json.dumps(used).encode()
    return payload


def _check_attempt(call: NodeCall, attempt: int) -> None:
    """Temporal is told of more attempts than there are, and counts those whose end nobody saw."""
    if 0 < call.attempts < attempt:
        limit = activity.info().start_to_close_timeout
        raise TimeoutError(
            f"no answer within its start_to_close limit of {limit}, or its worker was lost, the last time"
        )


def _whole_input(given: NodeInput) -> Any:
    return given.value


def _nested(scope: AttemptScope, router: TaskRouter) -> list[SavedCheckpoint]:
    elsewhere = router.nested()
    namespaces = {saved.namespace for saved in elsewhere}
    return [*(saved for saved in scope.nested() if saved.namespace not in namespaces), *elsewhere]


def _runnable(
    call: NodeCall, body: Body, given: NodeInput, router: TaskRouter
) -> Callable[[Any], Awaitable[Any]]:
    value = body.value(given)
    if not body.needs_graph:
        return lambda config: _invoke(call.path[-1], body.node, value, config)
    alone = as_graph(call.path[-1], body.node, router.around(in_own_thread(body.node.bound)))
    return lambda config: alone.ainvoke(graph_input(value, given.previous), config)


async def _invoke(name: str, node: PregelNode, value: Any, config: RunnableConfig) -> Any:
    if node.timeout is None:
        return await node.bound.ainvoke(value, config)
    return await run_in_time(name, node.bound, value, config, node.timeout)


async def _attempt(
    body: Callable[[Any], Awaitable[Any]], scope: AttemptScope, nested: Callable[[], list[SavedCheckpoint]]
) -> dict[str, Any]:
    """What the node did, as data; keys that have nothing to say are left out."""
    outcome: dict[str, Any] = {}
    try:
        output = await _in_context(body, scope.config)
        if output is not None:
            outcome["output"] = output
    except GraphInterrupt as stop:
        # That of a task comes from the task and from its node.
        outcome["interrupts"] = [*{item.id: item for item in (stop.args[0] if stop.args else ())}.values()]
        outcome["nested"] = nested()
    except ParentCommand as command:
        outcome["parent_command"] = command.args[0]
    else:
        outcome["memory"] = [saved for saved in nested() if NS_END not in saved.namespace]
    outcome["writes"] = [list(write) for write in scope.writes]
    outcome["drain"] = scope.control.drain_reason
    return {key: entry for key, entry in outcome.items() if key == "output" or entry}


async def _in_context(body: Callable[[Any], Awaitable[Any]], config: RunnableConfig) -> Any:
    async def run() -> Any:
        return await body(config)

    with set_config_context(config) as context:
        return await asyncio.create_task(run(), context=context)


def _encode(outcome: dict[str, Any], call: NodeCall) -> Payload:
    what = f"the result of node {'/'.join(call.path)!r}"
    try:
        return sendable(outcome, what, activity.client().data_converter, parts=outcome.get("output")).payload
    except PayloadTooLarge:
        raise
    except PayloadError as error:
        raise type(error)(f"{what} cannot be stored: {error}") from error
