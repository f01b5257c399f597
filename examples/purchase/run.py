"""Buy something with the library form: `python -m purchase.run lamp --id order-1`. A worker must run (`purchase.worker`).

The id is the order: a second call with it buys nothing, also after the first has ended.
"""

import argparse
import asyncio

from temporalio.client import WorkflowFailureError
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError

from perdure import connect
from perdure.errors import PerdureError
from purchase.contract import PurchaseInput
from purchase.workflow import PurchaseAgent


async def buy(order: PurchaseInput, *, id: str, task_queue: str) -> str:
    """Start the order and wait for its end."""
    client = await connect()
    handle = await client.temporal.start_workflow(
        PurchaseAgent.run,
        order,
        id=id,
        task_queue=task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
    )
    return await handle.result()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m purchase.run", description=__doc__)
    parser.add_argument("sku")
    parser.add_argument("--id", required=True, help="of the order, and of its workflow")
    parser.add_argument("--quantity", type=int, default=1)
    parser.add_argument("--card", default="tok_visa", help="tok_declined is declined")
    parser.add_argument("--address", default="Kai 1, Bremen")
    parser.add_argument("--customer", default="ines")
    parser.add_argument("--task-queue", default="purchase")
    given = parser.parse_args()
    order = PurchaseInput(given.sku, given.quantity, given.card, given.address, given.customer)
    try:
        print(asyncio.run(buy(order, id=given.id, task_queue=given.task_queue)))
    except WorkflowFailureError as error:
        raise SystemExit(f"order {given.id!r} failed: {_reason(error)}") from error
    except WorkflowAlreadyStartedError as error:
        raise SystemExit(f"order {given.id!r} exists already; give another --id") from error
    except PerdureError as error:
        raise SystemExit(str(error)) from error


def _reason(error: BaseException) -> str:
    """What is at the bottom of it."""
    while isinstance(error.__cause__, FailureError):
        error = error.__cause__
    return str(error)


if __name__ == "__main__":
    main()
