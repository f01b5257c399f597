"""SIDE EFFECTS: the actions as Temporal activities, for the library form. Their names are the functions' names."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx
from temporalio import activity
from temporalio.exceptions import ApplicationError

from purchase import actions
from purchase.contract import Charge, PurchaseInput, Reservation, Shipment

__all__ = ["ACTIVITIES", "call_back", "charge", "refund", "release", "reserve", "ship"]

# Answers of 400 and more that another attempt may turn into a success.
_PASSING = frozenset({408, 409, 425, 429})


@activity.defn
async def reserve(order: PurchaseInput, key: str) -> Reservation:
    """Set the order's goods aside."""
    with _refusals_are_final():
        return await actions.reserve(order.sku, order.quantity, key=key)


@activity.defn
async def charge(order: PurchaseInput, reserved: Reservation, key: str) -> Charge:
    """Take the money for them."""
    with _refusals_are_final():
        return await actions.charge(
            order.card, reserved.amount, reserved.currency, reservation=reserved.id, key=key
        )


@activity.defn
async def ship(order: PurchaseInput, reserved: Reservation, key: str) -> Shipment:
    """Send them."""
    with _refusals_are_final():
        return await actions.ship(reserved.id, order.address, key=key)


@activity.defn
async def release(key: str) -> None:
    """Undo the `reserve` of that key, if it happened."""
    with _refusals_are_final():
        await actions.release(key=key)


@activity.defn
async def refund(key: str) -> None:
    """Undo the `charge` of that key, if it happened."""
    with _refusals_are_final():
        await actions.refund(key=key)


@activity.defn
async def call_back(key: str) -> None:
    """Undo the `ship` of that key, if it happened."""
    with _refusals_are_final():
        await actions.call_back(key=key)


ACTIVITIES: tuple[Callable[..., Any], ...] = (reserve, charge, ship, release, refund, call_back)


@contextmanager
def _refusals_are_final() -> Generator[None]:
    """A retry cannot change a refusal, so Temporal must not wait for one."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status >= 500 or status in _PASSING:
            raise
        raise ApplicationError(str(error), type="Refused", non_retryable=True) from error
