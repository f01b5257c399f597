"""What crosses the agent's boundaries: the order, and what the three services answer.

Frozen dataclasses without behaviour, so that they are readable in the Temporal UI and restore exactly. Amounts are
integers in the currency's minor unit (cents).
"""

from dataclasses import dataclass

__all__ = ["Charge", "PurchaseInput", "Refund", "Reservation", "Shipment", "Stock"]


@dataclass(frozen=True)
class PurchaseInput:
    """One order. `card` is a payment provider's token, never a card number."""

    sku: str
    quantity: int
    card: str
    address: str
    customer: str


@dataclass(frozen=True)
class Reservation:
    """Goods set aside, and what they cost together."""

    id: str
    sku: str
    quantity: int
    amount: int
    currency: str


@dataclass(frozen=True)
class Charge:
    """Money taken for a reservation."""

    id: str
    reservation: str
    amount: int
    currency: str


@dataclass(frozen=True)
class Refund:
    """Money given back of a charge."""

    id: str
    charge: str
    amount: int
    currency: str


@dataclass(frozen=True)
class Shipment:
    """Reserved goods on their way."""

    id: str
    reservation: str


@dataclass(frozen=True)
class Stock:
    """Where all pieces of a product are; the three numbers' sum never changes."""

    sku: str
    available: int
    reserved: int
    shipped: int
    unit_price: int
    currency: str
