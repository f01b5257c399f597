"""Deleting a thread that nobody uses: its own workflow asks for it. Side: activities."""

from __future__ import annotations

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

from perdure.contract import names

__all__ = ["ThreadActivities"]


class ThreadActivities:
    @activity.defn(name=names.DELETE_THREAD)
    async def delete_thread(self) -> None:
        """Delete the workflow that asks."""
        client, info = activity.client(), activity.info()
        await client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=info.workflow_id or ""),
            )
        )
