"""Temporal's workflow sandbox, without its way in where no workflow code runs.

Side: worker. For each payload that comes or goes, the SDK asks the workflow instance in which context to convert it, and
enters the sandbox for the question: a third of what a step costs in replay. The answer is read from the instance's own
books, so it is asked for directly.

Invariant: workflow code runs in the sandbox as ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from perdure._compat import IN_SANDBOX

__all__ = ["ThreadSandbox"]


@dataclass(frozen=True)
class ThreadSandbox(SandboxedWorkflowRunner):
    """As the SDK's own runner; takes the same options."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance: Any = super().create_instance(det)
        inside = instance.globals_and_locals[IN_SANDBOX]
        instance.get_serialization_context = inside.get_serialization_context
        instance.get_external_store_context = inside.get_external_store_context
        return instance
