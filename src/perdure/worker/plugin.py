"""`PerdurePlugin`: everything a Temporal client and worker need to run LangGraph graphs.

Side: worker. One plugin instance is one set of graphs; two workers with two plugins fit in one process.

    plugin = PerdurePlugin({"support": graph})
    client = await Client.connect("localhost:7233", plugins=[plugin])
    async with Worker(client, task_queue="perdure"):      # the client's plugins reach its workers by themselves
        ...

Without graphs it is what library mode needs: `await run_graph(...)` in your own workflows.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from langgraph.store.base import BaseStore
from opentelemetry.trace import TracerProvider
from temporalio.converter import DataConverter, ExternalStorage
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    Interceptor,
    ReplayerConfig,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerConfig,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from perdure import _compat
from perdure.activities.effects import EffectActivities
from perdure.activities.lending import Lending
from perdure.activities.rate_limits import RATES_VARIABLE, RateLimits
from perdure.activities.run_node import NodeActivities
from perdure.activities.run_task import TaskActivities
from perdure.activities.settings import ActivitySettings
from perdure.activities.task_mail import TaskNotices
from perdure.activities.tasks import calls_tasks
from perdure.activities.threads import ThreadActivities
from perdure.activities.webhooks import WebhookActivities
from perdure.contract.limits import RateLimit
from perdure.contract.policy import ModelOutput
from perdure.contract.verdict import Classify
from perdure.errors import ConfigError
from perdure.graph.effect_index import EffectIndex
from perdure.graph.inputs import LiveInputs
from perdure.graph.models import model_problems
from perdure.graph.registry import GraphRegistry
from perdure.graph.schema import graph_modules
from perdure.graph.webhook_policy import WebhookPolicy
from perdure.payloads import TypeRegistry, payload_converter_class
from perdure.storage.external import check_storage, external_storage, size_limit
from perdure.storage.store import StoreSetting, WorkerStore
from perdure.streams import Broker, broker_at
from perdure.streams.wire import to_json
from perdure.telemetry.spans import tracing_of
from perdure.worker.instances import OneThreadRunner
from perdure.worker.metrics import MetricsInterceptor
from perdure.worker.replays import ReplaysFirst
from perdure.worker.slots import lend_slots
from perdure.worker.tracing import TracingInterceptor
from perdure.workflows.crons import CronWorkflow
from perdure.workflows.node_calls import EXTERN_DROP_INPUT, EXTERN_PUT_INPUT
from perdure.workflows.publishing import EXTERN_PUBLISH
from perdure.workflows.sizes import EXTERN_PAYLOAD_LIMIT
from perdure.workflows.task_calls import EXTERN_TELL_TASK
from perdure.workflows.thread import EXTERN_GRAPH, ThreadWorkflow
from perdure.workflows.webhooks import WebhookWorkflow

__all__ = ["PerdurePlugin"]

_log = logging.getLogger(__name__)

# For users' own workflows, which run in Temporal's sandbox: what it shares with the rest, because it is pure or (LangGraph)
# made deterministic.
_PASSED_THROUGH = (
    "perdure.contract",
    "perdure.errors",
    "perdure.graph",
    "perdure.payloads",
    "perdure._compat",
    "perdure._compat_models",
    "langchain",
    "langchain_core",
    "langchain_protocol",
    "langgraph",
    "langgraph_sdk",
    "langsmith",
    "orjson",
    "ormsgpack",
    "uuid_utils",
    "xxhash",
)

# A worker that died holds its workflows' next tasks for this long, unless an attempt that it left behind tells of it first
# (activities/deaths.py); Temporal's default of 10 s is most of a recovery. With 1 s, a hundred agents at a time were taken from
# their worker because it was busy, and replayed.
_STICKY_TIMEOUT = timedelta(seconds=2)
# The SDK interrupts a workflow task that takes longer than 2 s. Where several replay at once that is soon reached, and one that
# is interrupted starts all over.
_PATIENCE_SECONDS = 30
# Cancellation reaches an activity with the answer to a heartbeat, so heartbeats must really be sent.
_HEARTBEAT_THROTTLE = timedelta(seconds=1)


class PerdurePlugin(SimplePlugin):
    """Give it to `Client.connect(plugins=[...])`; workers made from that client have it too.

    Args:
        graphs: compiled graphs by name. They are never changed.
        types: classes that payloads may hold beyond those that the graphs' annotations name.
        effects: functions and tools with `@effect` that the graphs call in a roundabout way; those that nodes and tools
            name are found.
        live_inputs: how many node inputs the worker keeps in memory for its own activities; any other input is asked of
            the workflow.
        payloads: where payloads over 256 KiB are kept: "file:///folder", "s3://bucket/prefix", "none", or an
            `ExternalStorage` of your own; default: the environment variable `PERDURE_PAYLOADS`. A client's own
            `external_storage` wins.
        store: the LangGraph store of graphs that have none: "sqlite:///folder/store.db", "postgresql://...", "none",
            with more options as a `StoreSetting`, or a store of your own; default: the environment variable `PERDURE_STORE`.
        classify: your own part of the table of failures (docs/retries.md): a function from an exception to a
            `perdure.Verdict`, or `None` for what it does not know.
        model_output: what nodes do with a model's answer that is empty, cut off or refused, see `durable`.
        client_retries: let the clients of model providers retry by themselves, too; Temporal cannot see it.
        rate_limits: how often models may be called, by model name.
        rates: where that is counted for several workers: "redis://localhost:6379"; default: the environment variable
            `PERDURE_RATES`, else this worker's memory.
        broker: where runs tell what they do while they do it: "redis://localhost:6379", or one of your own; default:
            nowhere.
        tracer_provider: what records the traces of runs; default: OpenTelemetry's global one, where there is one.
        webhooks: which URLs may be told how runs end; default: public ones.
        heartbeat: the limit of nodes that declare none (`durable(heartbeat=)`): a worker that is silent for so long is taken
            for dead. Heartbeats come four times as often, and each costs a write of the server (docs/cost-model.md);
            default: 5 seconds. All workers should have the same.
    """

    def __init__(
        self,
        graphs: Mapping[str, Any] | None = None,
        *,
        types: Iterable[type] = (),
        effects: Iterable[Any] = (),
        live_inputs: int = 1000,
        payloads: str | ExternalStorage | None = None,
        store: str | StoreSetting | BaseStore | None = None,
        classify: Classify | None = None,
        model_output: ModelOutput = "any",
        client_retries: bool = False,
        rate_limits: Mapping[str, RateLimit] | None = None,
        rates: str | None = None,
        broker: Broker | str | None = None,
        tracer_provider: TracerProvider | None = None,
        webhooks: WebhookPolicy | None = None,
        heartbeat: timedelta | None = None,
    ) -> None:
        """Raises ConfigError for what is not a compiled graph, and for settings that are none."""
        _compat.install()
        self.registry = GraphRegistry(graphs or {}, types=types, heartbeat=heartbeat)
        self._converter_class = payload_converter_class(self.registry.types)
        self._payloads = external_storage(payloads)
        self._broker = broker = broker_at(broker) if isinstance(broker, str) else broker
        self._store = WorkerStore(StoreSetting(store) if store is None or isinstance(store, str) else store)
        self._tracer_provider = tracer_provider
        inputs = LiveInputs(capacity=live_inputs)
        notices = TaskNotices()
        self._lending = Lending()
        hosts = [self.registry.graph(name) for name in self.registry]
        index = EffectIndex(hosts, effects)
        self._may_wait = len(index) > 0 or any(map(calls_tasks, hosts))
        nodes = NodeActivities(
            self.registry,
            inputs,
            self._store,
            notices=notices,
            lending=self._lending,
            effects=index,
            settings=ActivitySettings(classify, model_output, client_retries),
            rates=RateLimits(rate_limits or {}, rates or os.environ.get(RATES_VARIABLE)),
            broker=broker,
        )
        hosted = len(self.registry) > 0
        super().__init__(
            "perdure",
            data_converter=self._data_converter,
            workflow_runner=self._workflow_runner,
            workflows=[ThreadWorkflow, WebhookWorkflow, CronWorkflow] if hosted else None,
            activities=_activities(nodes, index, WebhookActivities(webhooks)) if hosted else None,
            interceptors=[_GraphExterns(self.registry, inputs, notices, broker)],
        )

    @property
    def store(self) -> WorkerStore:
        """The store of graphs that have none of their own."""
        return self._store

    @property
    def types(self) -> TypeRegistry:
        """The allow-list of types that payloads may hold."""
        return self.registry.types

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """Raises ConfigError when the client has another plugin, or when payloads or store cannot be used."""
        config = super().configure_worker(config)
        client = config.get("client")
        if len(self.registry) > 0 and client is not None:
            self._check_converter(client.data_converter)
            check_storage(client.data_converter.external_storage)
            self._store.check()
            self._warn_of_models()
            limit = _PayloadLimit(size_limit(client.data_converter))
            config["interceptors"] = [*config.get("interceptors", ()), limit, MetricsInterceptor()]
            if (tracing := tracing_of(self._tracer_provider)) is not None:
                config["interceptors"] = [*config["interceptors"], TracingInterceptor(tracing)]
            lend_slots(config, self._lending if self._may_wait else None)
            runner = config.get("unsandboxed_workflow_runner") or UnsandboxedWorkflowRunner()
            config["unsandboxed_workflow_runner"] = ReplaysFirst(OneThreadRunner(runner))
            config["sticky_queue_schedule_to_start_timeout"] = _STICKY_TIMEOUT
            config["max_heartbeat_throttle_interval"] = _HEARTBEAT_THROTTLE
        return config

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        config = super().configure_replayer(config)
        limit = size_limit(config.get("data_converter") or DataConverter.default)
        config["interceptors"] = [*config.get("interceptors", ()), _PayloadLimit(limit)]
        return config

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:
        _compat.be_patient(worker, _PATIENCE_SECONDS)
        async with self._store.opened():
            await super().run_worker(worker, next)
        if self._broker is not None:
            await self._broker.flush()

    def _warn_of_models(self) -> None:
        for name in self.registry:
            for problem in model_problems(self.registry.graph(name)):
                _log.warning("graph %r, %s", name, problem)

    def _check_converter(self, converter: DataConverter) -> None:
        if converter.payload_converter_class is not self._converter_class:
            raise ConfigError(
                "the worker has a PerdurePlugin with graphs but its client has not: pass the same plugin to "
                "Client.connect(..., plugins=[plugin]) (messages would lose their types otherwise)"
            )

    def _data_converter(self, existing: DataConverter | None) -> DataConverter:
        existing = existing or DataConverter.default
        return dataclasses.replace(
            existing,
            payload_converter_class=self._converter_class,
            external_storage=existing.external_storage or self._payloads,
        )

    def _workflow_runner(self, existing: WorkflowRunner | None) -> WorkflowRunner:
        runner = existing or SandboxedWorkflowRunner()
        if not isinstance(runner, SandboxedWorkflowRunner):
            return runner
        modules = {module for name in self.registry for module in graph_modules(self.registry.graph(name))}
        restrictions = runner.restrictions.with_passthrough_modules(*_PASSED_THROUGH, *sorted(modules))
        return dataclasses.replace(runner, restrictions=restrictions)


def _activities(
    nodes: NodeActivities, index: EffectIndex, webhooks: WebhookActivities
) -> list[Callable[..., Any]]:
    effects = EffectActivities(nodes, index)
    return [
        nodes.run_node,
        TaskActivities(nodes).run_task,
        effects.run_effect,
        effects.run_undo,
        webhooks.send_webhook,
        ThreadActivities().delete_thread,
    ]


class _GraphExterns(Interceptor):
    """Hands the thread workflow this worker's graphs and inputs. It intercepts nothing."""

    def __init__(
        self, registry: GraphRegistry, inputs: LiveInputs, notices: TaskNotices, broker: Broker | None
    ) -> None:
        def publish(thread_id: str, run_id: str, event: str, data: Any, *, number: int) -> None:
            if broker is None:
                return
            # As JSON at once: the run goes on changing it.
            told = to_json(data)
            try:
                broker.publish(thread_id, run_id, event, told, number=number)
            except Exception:  # noqa: BLE001 - the edge of the worker, and logged
                # No run fails for its stream, whatever a broker of somebody's own does.
                _log.exception("the broker took no event of thread %r", thread_id)

        self._externs: Mapping[str, Callable[..., Any]] = {
            EXTERN_GRAPH: registry.mirror,
            EXTERN_PUT_INPUT: inputs.put,
            EXTERN_DROP_INPUT: inputs.drop,
            EXTERN_TELL_TASK: notices.tell,
            EXTERN_PUBLISH: publish,
        }

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        input.unsafe_extern_functions.update(self._externs)
        return None


class _PayloadLimit(Interceptor):
    """Tells the thread workflow how many bytes a payload may have. It intercepts nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        input.unsafe_extern_functions.update({EXTERN_PAYLOAD_LIMIT: lambda: self._limit})
        return None
