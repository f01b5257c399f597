"""SIDE EFFECTS: the model's three tools, each an effect: it has a key, a check and an undo.

Each asks for the id that the one before gave. What is no matter of the model's (card, address) comes from the state.
"""

from dataclasses import asdict
from typing import Annotated, Any

from langchain_core.tools import tool
from langgraph.prebuilt import InjectedState

from perdure import current_effect, effect
from purchase import actions
from purchase.contract import Charge, Reservation, Shipment

__all__ = ["TOOLS", "charge", "reserve", "ship"]

# As the model reads it: JSON.
Told = dict[str, Any]


async def _reserved(key: str) -> Told | None:
    return _told(await actions.find_reservation(key=key))


async def _charged(key: str) -> Told | None:
    return _told(await actions.find_charge(key=key))


async def _shipped(key: str) -> Told | None:
    return _told(await actions.find_shipment(key=key))


def _told(done: Reservation | Charge | Shipment | None) -> Told | None:
    return None if done is None else asdict(done)


@tool
@effect(undo=actions.release, check=_reserved)
async def reserve(sku: str, quantity: int) -> Told:
    """Set goods aside. Gives the reservation's id and what it costs."""
    return asdict(await actions.reserve(sku, quantity, key=current_effect().key))


@tool
@effect(undo=actions.refund, check=_charged)
async def charge(
    reservation: str, amount: int, currency: str, card: Annotated[str, InjectedState("card")]
) -> Told:
    """Charge the customer's card for a reservation: its id, amount and currency. Gives the charge's id."""
    key = current_effect().key
    return asdict(await actions.charge(card, amount, currency, reservation=reservation, key=key))


@tool
@effect(undo=actions.call_back, check=_shipped)
async def ship(reservation: str, charge: str, address: Annotated[str, InjectedState("address")]) -> Told:
    """Send what is reserved, to the customer's address. Needs the ids of the reservation and of its charge."""
    return asdict(await actions.ship(reservation, address, key=current_effect().key))


TOOLS = (reserve, charge, ship)
