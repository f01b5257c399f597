"""What a cron's schedule starts when its time has come: a run, on its thread or on one of its own.

Side: workflow. It takes a moment, and is gone; the run is the thread's. One that finds no thread, or that the thread refuses
(strategy `reject`), starts nothing.
"""

from __future__ import annotations

from dataclasses import replace

from temporalio import workflow

from perdure.contract import names
from perdure.contract.cron import CronJob
from perdure.contract.policy import TASK_TIMEOUT
from perdure.contract.thread import RunRequest
from perdure.workflows.listing import first_listed
from perdure.workflows.tracing import begun

__all__ = ["CronWorkflow"]


# Whatever is wrong with a cron must be seen as a failure, and not hold a workflow task for ever.
@workflow.defn(name=names.CRON_WORKFLOW, failure_exception_types=[Exception])
class CronWorkflow:
    """Its result is the run's id."""

    @workflow.run
    async def run(self, job: CronJob) -> str:
        thread_id = job.thread_id or str(workflow.uuid4())
        request = _with_ids(job.request, str(workflow.uuid4()), thread_id)
        about = {"gen_ai.conversation.id": thread_id, "perdure.cron": job.cron_id, "perdure.run": request.id}
        request = replace(request, trace=begun(f"cron {request.graph}", {**about}))
        if job.thread_id is not None:
            thread = workflow.get_external_workflow_handle(thread_id)
            await thread.signal(names.SIGNAL_START_RUN, request)
            return request.id
        start = replace(job.thread, run=request)
        await workflow.start_child_workflow(
            names.THREAD_WORKFLOW,
            start,
            id=thread_id,
            task_timeout=TASK_TIMEOUT,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            **first_listed(start, graph=request.graph, status="running", now=workflow.time()),
        )
        return request.id


def _with_ids(request: RunRequest, run_id: str, thread_id: str) -> RunRequest:
    configurable = {**request.config.get("configurable", {}), "run_id": run_id}
    metadata = {**request.config.get("metadata", {}), "run_id": run_id, "thread_id": thread_id}
    config = {**request.config, "configurable": configurable, "metadata": metadata}
    return replace(request, id=run_id, config=config)
