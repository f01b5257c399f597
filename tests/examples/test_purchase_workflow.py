"""`PurchaseAgent` against the real services, replayed at every workflow task: whatever fails, it is done or undone."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import Worker

from perdure.testing import PerdureEnvironment
from purchase.activities import ACTIVITIES, charge
from purchase.contract import Charge, PurchaseInput, Reservation
from purchase.services.faults import Fault, Kind
from purchase.services.invariants import keys_apply_once, violations
from purchase.services.server import PurchaseServices
from purchase.workflow import PurchaseAgent

ORDER = PurchaseInput("lamp", 2, "tok_visa", "Kai 1, Bremen", "ines")
STEPS = [("inventory", "reserve"), ("payments", "charge"), ("shipping", "ship")]
UNDOS = ["release", "refund", "cancel"]

Handle = WorkflowHandle[PurchaseAgent, str]


@asynccontextmanager
async def working(
    activities: Sequence[Callable[..., Any]] = ACTIVITIES, *, time_skipping: bool = True
) -> AsyncIterator[Client]:
    async with PerdureEnvironment.start({}, worker=False, time_skipping=time_skipping) as env:
        worker = Worker(
            env.client,
            task_queue="purchase",
            workflows=[PurchaseAgent],
            activities=activities,
            max_cached_workflows=0,
        )
        async with worker:
            yield env.client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with working() as client:
        yield client


@pytest.fixture
async def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PurchaseServices]:
    async with PurchaseServices(tmp_path / "data", seed=1) as services:
        monkeypatch.setenv("PURCHASE_TIMEOUT_SECONDS", "1")
        for name, value in services.env.items():
            monkeypatch.setenv(name, value)
        yield services


async def buy(client: Client, order: PurchaseInput = ORDER) -> Handle:
    return await client.start_workflow(PurchaseAgent.run, order, id=uuid.uuid4().hex, task_queue="purchase")


async def fails(purchase: Handle) -> BaseException:
    with pytest.raises(WorkflowFailureError) as failed:
        await purchase.result()
    return failed.value.cause


def happened(services: PurchaseServices) -> list[str]:
    return [effect.operation for effect in services.ledger().effects]


def done_and_undone(steps: int) -> list[str]:
    return [operation for _, operation in STEPS[:steps]] + UNDOS[:steps][::-1]


async def arrived(services: PurchaseServices, operation: str, *, after: int) -> None:
    while not any(r.operation == operation for r in services.ledger().requests[after:]):  # noqa: ASYNC110 - HTTP
        await asyncio.sleep(0.02)


async def test_an_order_is_reserved_paid_and_shipped(client: Client, services: PurchaseServices) -> None:
    result = await (await buy(client)).result()
    assert result == f"shipped:{services.ledger().effects[-1].subject}"
    assert happened(services) == ["reserve", "charge", "ship"]
    assert violations(services.ledger()) == []


@pytest.mark.parametrize("step", range(3))
async def test_a_step_that_is_refused_undoes_what_came_before_and_raises(
    client: Client, services: PurchaseServices, step: int
) -> None:
    services.faults.add(Fault("reject", *STEPS[step], reason="not today"))
    failure = await fails(await buy(client))
    assert isinstance(failure.__cause__, ApplicationError)
    assert (failure.__cause__.type, "not today" in str(failure.__cause__)) == ("Refused", True)
    assert happened(services) == done_and_undone(step)
    assert violations(services.ledger()) == []


@pytest.mark.parametrize(
    ("step", "kind"),
    [(0, "reset_after"), (1, "reset_after"), (2, "reset_after"), (1, "timeout_after"), (2, "malformed")],
)
async def test_a_step_whose_answer_is_lost_happens_once(
    client: Client, services: PurchaseServices, step: int, kind: Kind
) -> None:
    services.faults.add(Fault(kind, *STEPS[step]))
    assert (await (await buy(client)).result()).startswith("shipped:")
    assert happened(services) == ["reserve", "charge", "ship"]
    assert violations(services.ledger()) == []


@pytest.mark.parametrize("step", range(3))
async def test_a_step_that_happened_though_nobody_ever_knew_is_undone_too(
    client: Client, services: PurchaseServices, step: int
) -> None:
    services.faults.add(Fault("reset_after", *STEPS[step], times=4))
    await fails(await buy(client))
    assert happened(services) == done_and_undone(step + 1)
    assert violations(services.ledger()) == []


async def test_a_cancellation_undoes_everything_also_what_is_under_way(services: PurchaseServices) -> None:
    # The time-skipping server loses a workflow task that cancels an activity which has just ended.
    async with working(time_skipping=False) as client:
        for step in range(3):
            before = len(services.ledger().requests), len(happened(services))
            services.faults.add(Fault("slow", *STEPS[step], delay_ms=300))
            purchase = await buy(client)
            await arrived(services, STEPS[step][1], after=before[0])
            await purchase.cancel()
            assert isinstance(await fails(purchase), CancelledError)
            assert happened(services)[before[1] :] == done_and_undone(step + 1)
    assert violations(services.ledger()) == []


async def test_an_undo_does_not_overtake_an_action_that_is_late(services: PurchaseServices) -> None:
    begun = asyncio.Event()

    @activity.defn(name="charge")
    async def late(order: PurchaseInput, reserved: Reservation, key: str) -> Charge:
        begun.set()
        await asyncio.sleep(0.5)
        return await charge(order, reserved, key)

    others = [action for action in ACTIVITIES if action is not charge]
    async with working([late, *others], time_skipping=False) as client:
        purchase = await buy(client)
        await begun.wait()
        await purchase.cancel()
        assert isinstance(await fails(purchase), CancelledError)
    assert happened(services) == done_and_undone(2)
    assert violations(services.ledger()) == []


async def test_an_undo_that_fails_is_tried_again(client: Client, services: PurchaseServices) -> None:
    services.faults.add(
        Fault("reject", "shipping", "ship"), Fault("unavailable", "payments", "refund", times=2)
    )
    await fails(await buy(client))
    assert happened(services) == done_and_undone(2)
    assert violations(services.ledger()) == []


async def test_a_refund_that_never_works_is_named_and_the_goods_are_released(
    client: Client, services: PurchaseServices
) -> None:
    services.faults.add(
        Fault("reject", "shipping", "ship"), Fault("unavailable", "payments", "refund", times=None)
    )
    failure = await fails(await buy(client))
    assert isinstance(failure, ApplicationError)
    assert failure.type == "CompensationIncomplete"
    assert "refund" in str(failure)
    assert happened(services) == ["reserve", "charge", "release"]
    assert keys_apply_once(services.ledger()) == []
    [problem] = violations(services.ledger())
    assert "9800 charged - 0 refunded" in problem
