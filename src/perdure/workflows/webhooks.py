"""Telling a URL how a run ended: from a workflow of its own, which outlives the thread, its server and its workers.

Side: workflow. The thread only starts that workflow, and is on its way: neither the next run nor the thread's end waits for
the receiver. A receiver that does not answer is tried again for a day.

Invariant: a thread continues as new, or ends, only when Temporal has the workflows that it started.
Not guaranteed: that a receiver is told once (its id is the same each time), nor in which order it is told of several runs.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import FailureError

from perdure.contract import names
from perdure.contract.policy import HEARTBEAT
from perdure.contract.run import RunRecord
from perdure.contract.webhook import WebhookCall
from perdure.errors import PayloadTooLarge
from perdure.workflows.sizes import sendable
from perdure.workflows.states import States

__all__ = ["WebhookWorkflow", "Webhooks"]

_FOR = timedelta(days=1)
_ATTEMPT = timedelta(seconds=40)
_RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=10))


@workflow.defn(name=names.WEBHOOK_WORKFLOW, failure_exception_types=[Exception])
class WebhookWorkflow:
    """One call. What it holds stays encoded: nothing of it is looked at here."""

    @workflow.run
    async def run(self, call: RawValue) -> Any:
        return await workflow.execute_activity(
            names.SEND_WEBHOOK,
            call,
            start_to_close_timeout=_ATTEMPT,
            schedule_to_close_timeout=_FOR,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=_RETRY,
        )


class Webhooks:
    """A thread's."""

    def __init__(self, states: States) -> None:
        self._states = states
        self._starting = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def tell(self, url: str, run: RunRecord | None, *, started_at: float | None, trace: str = "") -> None:
        """`run` as it ended. `trace` is what the call's spans are below."""
        if url and run is not None:
            call = WebhookCall(url, workflow.info().workflow_id, run, started_at=started_at, trace=trace)
            self._starting += 1
            self._tasks[run.id] = asyncio.create_task(self._start(call))

    async def started(self) -> None:
        """Wait until Temporal has all that is to be told."""
        if self._starting:
            await workflow.wait_condition(lambda: not self._starting)

    async def _start(self, call: WebhookCall) -> None:
        snapshot = self._states.latest_or_none()
        values = snapshot.values if snapshot else None
        try:
            await workflow.start_child_workflow(
                names.WEBHOOK_WORKFLOW,
                _sent(call, values),
                id=f"{call.thread_id}/webhook/{call.run.id}",
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"webhook of run {call.run.id}",
            )
        except FailureError as error:  # it was started before the thread was reset
            workflow.logger.warning("the webhook of run %s is not called: %s", call.run.id, error)
        finally:
            self._starting -= 1
            self._tasks.pop(call.run.id, None)


def _sent(call: WebhookCall, values: Any) -> RawValue:
    try:
        return sendable(replace(call, values=values), "the values for the webhook")
    except PayloadTooLarge:
        return sendable(call, "the webhook's run")
