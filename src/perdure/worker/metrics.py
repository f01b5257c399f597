"""What a worker counts of attempts, besides what Temporal's SDK does; and which call is under way, for its log.

Side: worker. `perdure_failed_attempts` has graph, node and the kind of the failure (docs/retries.md); an attempt whose worker
died is not among them.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from perdure.contract.node import NodeCall

__all__ = ["MetricsInterceptor", "call_under_way"]

call_under_way: ContextVar[NodeCall | None] = ContextVar("perdure_call_under_way", default=None)
"""Set around each attempt of a node, a task or an effect; what it starts inherits it."""


class MetricsInterceptor(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Attempts(next)


class _Attempts(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        given = input.args[0] if input.args else None
        call = given if isinstance(given, NodeCall) else None
        call_under_way.set(call)
        try:
            return await super().execute_activity(input)
        except ApplicationError as error:
            if call is not None:
                counter = activity.metric_meter().create_counter("perdure_failed_attempts")
                counter.add(1, {"graph": call.graph, "node": "/".join(call.path), "kind": _kind(error)})
            raise


def _kind(error: ApplicationError) -> str:
    told = error.details[0] if error.details else None
    return str(told.get("kind") or "unknown") if isinstance(told, dict) else "unknown"
