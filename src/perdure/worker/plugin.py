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
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from temporalio.converter import DataConverter
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    Interceptor,
    WorkerConfig,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from perdure import _compat
from perdure.activities.run_node import NodeActivities
from perdure.errors import ConfigError
from perdure.graph.inputs import LiveInputs
from perdure.graph.registry import GraphRegistry
from perdure.graph.schema import graph_modules
from perdure.payloads import TypeRegistry, payload_converter_class
from perdure.workflows.node_calls import EXTERN_DROP_INPUT, EXTERN_PUT_INPUT
from perdure.workflows.thread import EXTERN_GRAPH, ThreadWorkflow

__all__ = ["PerdurePlugin"]

# Shared between the sandbox and the rest: pure, or (LangGraph) made deterministic. `perdure.workflows` is not among them.
_PASSED_THROUGH = (
    "perdure.contract",
    "perdure.errors",
    "perdure.graph",
    "perdure.payloads",
    "perdure._compat",
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

# A worker that died holds its workflows' next tasks for this long; Temporal's default of 10 s is most of a recovery.
_STICKY_TIMEOUT = timedelta(seconds=1)
# Cancellation reaches an activity with the answer to a heartbeat, so heartbeats must really be sent.
_HEARTBEAT_THROTTLE = timedelta(seconds=1)


class PerdurePlugin(SimplePlugin):
    """Give it to `Client.connect(plugins=[...])`; workers made from that client have it too.

    Args:
        graphs: compiled graphs by name. They are never changed.
        types: classes that payloads may hold beyond those that the graphs' annotations name.
        live_inputs: how many node inputs the worker keeps in memory for its own activities; any other input is asked of
            the workflow.
    """

    def __init__(
        self, graphs: Mapping[str, Any] | None = None, *, types: Iterable[type] = (), live_inputs: int = 1000
    ) -> None:
        """Raises ConfigError for what is not a compiled graph."""
        _compat.install()
        self.registry = GraphRegistry(graphs or {}, types=types)
        self._converter_class = payload_converter_class(self.registry.types)
        inputs = LiveInputs(capacity=live_inputs)
        hosted = len(self.registry) > 0
        super().__init__(
            "perdure",
            data_converter=self._data_converter,
            workflow_runner=self._workflow_runner,
            workflows=[ThreadWorkflow] if hosted else None,
            activities=[NodeActivities(self.registry, inputs).run_node] if hosted else None,
            interceptors=[_GraphExterns(self.registry, inputs)],
        )

    @property
    def types(self) -> TypeRegistry:
        """The allow-list of types that payloads may hold."""
        return self.registry.types

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        config = super().configure_worker(config)
        if len(self.registry) > 0:
            self._check_converter(config)
            config["sticky_queue_schedule_to_start_timeout"] = _STICKY_TIMEOUT
            config["max_heartbeat_throttle_interval"] = _HEARTBEAT_THROTTLE
        return config

    def _check_converter(self, config: WorkerConfig) -> None:
        client = config.get("client")
        if client is not None and client.data_converter.payload_converter_class is not self._converter_class:
            raise ConfigError(
                "the worker has a PerdurePlugin with graphs but its client has not: pass the same plugin to "
                "Client.connect(..., plugins=[plugin]) (messages would lose their types otherwise)"
            )

    def _data_converter(self, existing: DataConverter | None) -> DataConverter:
        return dataclasses.replace(
            existing or DataConverter.default, payload_converter_class=self._converter_class
        )

    def _workflow_runner(self, existing: WorkflowRunner | None) -> WorkflowRunner:
        runner = existing or SandboxedWorkflowRunner()
        if not isinstance(runner, SandboxedWorkflowRunner):
            return runner
        modules = {module for name in self.registry for module in graph_modules(self.registry.graph(name))}
        restrictions = runner.restrictions.with_passthrough_modules(*_PASSED_THROUGH, *sorted(modules))
        return dataclasses.replace(runner, restrictions=restrictions)


class _GraphExterns(Interceptor):
    """Hands the sandboxed thread workflow this worker's graphs and inputs. It intercepts nothing."""

    def __init__(self, registry: GraphRegistry, inputs: LiveInputs) -> None:
        self._externs: Mapping[str, Callable[..., Any]] = {
            EXTERN_GRAPH: registry.mirror,
            EXTERN_PUT_INPUT: inputs.put,
            EXTERN_DROP_INPUT: inputs.drop,
        }

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        input.unsafe_extern_functions.update(self._externs)
        return None
