"""After a worker's death: its workflows go on elsewhere at once.

Side: activities. Temporal hands a workflow's tasks to the worker that has it in memory, and waits for that one before it asks
another. An attempt that comes after one that fell silent is the first to know that the worker is gone: it tells the server.

Not guaranteed: that it was dead. Then the workflow is replayed once, which is all that this costs.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetStickyTaskQueueRequest
from temporalio.service import RPCError

__all__ = ["forget_worker"]

_log = logging.getLogger(__name__)

_ANSWER_IN = timedelta(seconds=2)


async def forget_worker() -> None:
    """Have the next task of the attempt's workflow go to any worker."""
    info = activity.info()
    request = ResetStickyTaskQueueRequest(
        namespace=info.namespace,
        execution=WorkflowExecution(workflow_id=info.workflow_id or "", run_id=info.workflow_run_id or ""),
    )
    try:
        await activity.client().workflow_service.reset_sticky_task_queue(request, timeout=_ANSWER_IN)
    except RPCError as error:
        # It goes on all the same, once the server has waited long enough.
        _log.debug("thread %s stays with its worker for now: %s", info.workflow_id, error)
