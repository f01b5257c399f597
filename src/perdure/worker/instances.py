"""Workflow instances that are in one thread at a time.

Side: worker. A workflow task that takes longer than the SDK is patient goes on in its thread. The SDK means to wait for it, but
what it waits for was cancelled by `asyncio.wait_for`; so it evicts the workflow from a second thread while the first still runs
it. Steps get lost so, the eviction never ends, and neither does the worker.

Invariant: who comes second waits until the first has ended.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner

__all__ = ["Activate", "AroundRunner", "OneThreadRunner"]

Activate = Callable[[Any], Any]


class AroundRunner(WorkflowRunner):
    """Runs workflows as `inner` does, with something around each of their activations."""

    def __init__(self, inner: WorkflowRunner) -> None:
        self._inner = inner

    @abstractmethod
    def around(self, thread_id: str, activate: Activate) -> Activate:
        """What stands for the activation of a new instance."""

    def prepare_workflow(self, defn: Any) -> None:
        self._inner.prepare_workflow(defn)

    def set_worker_level_failure_exception_types(self, types: Any) -> None:
        self._inner.set_worker_level_failure_exception_types(types)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance: Any = self._inner.create_instance(det)
        instance.activate = self.around(det.info.workflow_id, instance.activate)
        return instance


class OneThreadRunner(AroundRunner):
    """An instance is in one thread at a time."""

    def around(self, thread_id: str, activate: Activate) -> Activate:
        lock = threading.Lock()

        def alone(act: Any) -> Any:
            with lock:
                return activate(act)

        return alone
