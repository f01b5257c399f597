"""What the demo has shown, and whether that is what it promises. Pure; the numbers are the services' own."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from purchase.services.invariants import violations
from purchase.services.ledger import Ledger

__all__ = ["Books", "Summary"]

_BOUGHT = ["reserve", "charge", "ship"]
_UNDONE = ["reserve", "charge", "refund", "release"]


@dataclass(frozen=True)
class Books:
    """Goods and money of one product, as the services' audit has them. Amounts are in minor units."""

    stock: int
    reserved: int
    shipped: int
    charged: int
    refunded: int

    @classmethod
    def read(cls, ledger: Ledger, sku: str) -> Self:
        [product] = [product for product in ledger.products if product.sku == sku]
        goods = [goods for goods in ledger.reservations if goods.sku == sku]
        orders = {goods.id for goods in goods}
        money = {
            operation: sum(
                effect.amount
                for effect in ledger.effects
                if effect.operation == operation and effect.reservation in orders
            )
            for operation in ("charge", "refund")
        }
        return cls(
            stock=product.available,
            reserved=sum(some.quantity for some in goods if some.state == "held"),
            shipped=sum(some.quantity for some in goods if some.state == "shipped"),
            charged=money["charge"],
            refunded=money["refund"],
        )

    @property
    def kept(self) -> int:
        """The money that the shop has."""
        return self.charged - self.refunded


@dataclass(frozen=True)
class Summary:
    """A told story.

    Attributes:
        result: of the first order.
        failure: of the second order, and `compensation` what Perdure says became of it.
        before, bought, undone: the books at the start and after each order.
        ledger: all that the services know at the end.
        seconds: all of it.
    """

    result: str
    failure: str
    compensation: str
    before: Books
    bought: Books
    undone: Books
    ledger: Ledger
    seconds: float

    @property
    def effects(self) -> list[str]:
        """What happened in the services, in order."""
        return [effect.operation for effect in self.ledger.effects]

    @property
    def problems(self) -> list[str]:
        """Promises that were not kept; empty if all went well."""
        found = violations(self.ledger)
        if not self.result.startswith("shipped:"):
            found.append(f"the first order's result is {self.result!r}, not a shipment")
        if not self.failure:
            found.append("the second order did not fail")
        if self.compensation != "compensated":
            found.append(f"the second order's compensation is {self.compensation!r}, not 'compensated'")
        if self.effects != _BOUGHT + _UNDONE:
            found.append(f"what happened is {self.effects}, not {_BOUGHT + _UNDONE}")
        goods = [(books.stock, books.reserved, books.shipped) for books in (self.bought, self.undone)]
        if goods[0] != goods[1] or self.bought.kept != self.undone.kept:
            found.append("the second order has left something behind in goods or money")
        return found

    def as_json(self) -> dict[str, Any]:
        """For programs; one line of JSON."""
        numbers = {name: value for name, value in asdict(self).items() if name != "ledger"}
        return {**numbers, "effects": self.effects, "problems": self.problems}
