"""DETERMINISTIC: the agent as a Temporal workflow of its own, the library form: reserve, charge, ship.

Each undo is registered before its action, because an action whose answer was lost may have happened. The keys are made
of the workflow's id, so one id is one order: start it with `WorkflowIDReusePolicy.REJECT_DUPLICATE`.

| it ends by                | then                                                                      |
|---------------------------|---------------------------------------------------------------------------|
| returning                 | reserved, paid and sent                                                   |
| a failure or cancellation | what happened is undone, last first: shipment, money, goods; it is raised |
| `CompensationIncomplete`  | what it names could not be undone: a person must see to it                |
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow

from perdure import TOOL_RETRY, Saga

with workflow.unsafe.imports_passed_through():
    from purchase.activities import call_back, charge, refund, release, reserve, ship
    from purchase.contract import PurchaseInput, Reservation, Shipment

__all__ = ["PurchaseAgent"]

_TIMEOUT = timedelta(seconds=30)


@workflow.defn
class PurchaseAgent:
    """One order."""

    @workflow.run
    async def run(self, order: PurchaseInput) -> str:
        """Buy what is ordered.

        Returns:
            `shipped:<shipment id>`.
        """
        async with Saga(timeout=_TIMEOUT) as saga:
            saga.add(release, _key("reserve"))
            reserved: Reservation = await _act(reserve, order, _key("reserve"))
            saga.add(refund, _key("charge"))
            await _act(charge, order, reserved, _key("charge"))
            saga.add(call_back, _key("ship"))
            shipment: Shipment = await _act(ship, order, reserved, _key("ship"))
            return f"shipped:{shipment.id}"


def _key(step: str) -> str:
    return f"{workflow.info().workflow_id}/{step}"


async def _act(action: Callable[..., Any], *args: Any) -> Any:
    task = asyncio.create_task(
        workflow.execute_activity(
            action,
            args=args,
            start_to_close_timeout=_TIMEOUT,
            retry_policy=TOOL_RETRY,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
    )
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # A request that is under way may still arrive: its undo must not overtake it.
        task.cancel()
        await workflow.wait([task])
        raise
