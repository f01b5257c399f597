"""What the runs of a Temporal workflow left in its histories, for contestants that run on Temporal."""

from collections.abc import AsyncIterator

from temporalio.api.failure.v1 import Failure
from temporalio.client import Client, WorkflowExecutionStatus


async def history_bytes(client: Client, workflow_ids: list[str]) -> int:
    """Of all runs of these workflows; one that continued as new has several."""
    return sum(
        [size async for workflow_id in _each(workflow_ids) async for size in _sizes(client, workflow_id)]
    )


async def why_stuck(client: Client, workflow_ids: list[str]) -> str:
    """What the first of these workflows that did not end failed with in its last workflow task or activity."""
    for workflow_id in workflow_ids:
        handle = client.get_workflow_handle(workflow_id)
        described = await handle.describe()
        if described.status is not WorkflowExecutionStatus.RUNNING:
            continue
        for pending in described.raw_description.pending_activities:
            if pending.HasField("last_failure"):
                return f"activity {pending.activity_type.name!r}, attempt {pending.attempt}: {_told(pending.last_failure)}"
        failures = [
            _told(event.workflow_task_failed_event_attributes.failure)
            async for event in handle.fetch_history_events()
            if event.HasField("workflow_task_failed_event_attributes")
        ]
        if failures:
            return f"workflow task failed {len(failures)} times or more: {failures[-1]}"
        return f"{described.history_length} events of history, no failure told"
    return ""


def _told(failure: Failure) -> str:
    message = failure.message.strip().splitlines() or [""]
    return f"{failure.application_failure_info.type or 'error'}: {message[0][:200]}"


async def _each(workflow_ids: list[str]) -> AsyncIterator[str]:
    for workflow_id in workflow_ids:
        yield workflow_id


async def _sizes(client: Client, workflow_id: str) -> AsyncIterator[int]:
    run_id = (await client.get_workflow_handle(workflow_id).describe()).run_id
    while run_id:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        info = (await handle.describe()).raw_description.workflow_execution_info
        yield info.history_size_bytes
        async for event in handle.fetch_history_events():
            run_id = event.workflow_execution_started_event_attributes.continued_execution_run_id
            break
