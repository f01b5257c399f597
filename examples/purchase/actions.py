"""SIDE EFFECTS: what the agent does to the world, and how each deed is taken back. Both forms of the agent call these.

Every action has a `key`, under which the services know it: sent twice it happens once. To take an action back nothing
but its key is needed, because its answer may never have come: what it did is looked up, and that may be nothing.
Errors are those of `purchase.clients`.
"""

from purchase.clients import connect
from purchase.contract import Charge, Reservation, Shipment

__all__ = [
    "call_back",
    "charge",
    "find_charge",
    "find_reservation",
    "find_shipment",
    "refund",
    "release",
    "reserve",
    "ship",
]


async def reserve(sku: str, quantity: int, *, key: str) -> Reservation:
    """Set goods aside."""
    async with connect() as shop:
        return await shop.inventory.reserve(sku, quantity, key=key)


async def charge(card: str, amount: int, currency: str, *, reservation: str, key: str) -> Charge:
    """Take the money for a reservation."""
    async with connect() as shop:
        return await shop.payments.charge(card, amount, currency, reservation=reservation, key=key)


async def ship(reservation: str, address: str, *, key: str) -> Shipment:
    """Send what is reserved."""
    async with connect() as shop:
        return await shop.shipping.ship(reservation, address, key=key)


async def find_reservation(*, key: str) -> Reservation | None:
    """What `reserve` did under this key."""
    async with connect() as shop:
        return await shop.inventory.reservation_by_key(key)


async def find_charge(*, key: str) -> Charge | None:
    """What `charge` did under this key."""
    async with connect() as shop:
        return await shop.payments.charge_by_key(key)


async def find_shipment(*, key: str) -> Shipment | None:
    """What `ship` did under this key."""
    async with connect() as shop:
        return await shop.shipping.shipment_by_key(key)


async def release(*, key: str) -> None:
    """Undo `reserve`."""
    async with connect() as shop:
        done = await shop.inventory.reservation_by_key(key)
        if done is not None:
            await shop.inventory.release(done.id, key=f"{key}/undo")


async def refund(*, key: str) -> None:
    """Undo `charge`."""
    async with connect() as shop:
        done = await shop.payments.charge_by_key(key)
        if done is not None:
            await shop.payments.refund(done.id, key=f"{key}/undo")


async def call_back(*, key: str) -> None:
    """Undo `ship`."""
    async with connect() as shop:
        done = await shop.shipping.shipment_by_key(key)
        if done is not None:
            await shop.shipping.cancel(done.id, key=f"{key}/undo")
