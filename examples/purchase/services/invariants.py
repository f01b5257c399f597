"""What must hold in the services once every order has ended, whatever went wrong on the way. Pure; reads a `Ledger`.

Each function gives its violations in words; none is good. Not seen here: whether an order that ended well should have.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from purchase.services.ledger import AppliedEffect, Ledger

__all__ = [
    "keys_apply_once",
    "money_follows_goods",
    "nothing_is_left_open",
    "stock_is_conserved",
    "violations",
]


def violations(ledger: Ledger) -> list[str]:
    """All that is wrong, in words."""
    return [
        *keys_apply_once(ledger),
        *stock_is_conserved(ledger),
        *money_follows_goods(ledger),
        *nothing_is_left_open(ledger),
    ]


def keys_apply_once(ledger: Ledger) -> list[str]:
    """Each key has its effect at most once. Holds at any moment."""
    seen = Counter((effect.service, effect.key) for effect in ledger.effects)
    return [
        f"{service}: the key {key!r} was applied {count} times"
        for (service, key), count in seen.items()
        if count > 1
    ]


def stock_is_conserved(ledger: Ledger) -> list[str]:
    """stock + reserved + shipped stay what they began as, in the books and by the audit. Holds at any moment."""
    found: list[str] = []
    orders = _orders(ledger.effects)
    for name, order in orders.items():
        if order.held < 0 or order.shipped < 0:
            found.append(
                f"reservation {name!r}: {order.held} reserved and {order.shipped} shipped by the audit"
            )
    books = {goods.id: goods for goods in ledger.reservations}
    for name in sorted({*books, *orders}):
        goods, order = books.get(name), orders.get(name, _Order())
        held, shipped = [goods.quantity if goods and goods.state == s else 0 for s in ("held", "shipped")]
        if (held, shipped) != (order.held, order.shipped):
            found.append(
                f"reservation {name!r}: {held} reserved and {shipped} shipped in the books,"
                f" {order.held} and {order.shipped} by the audit"
            )
    for product in ledger.products:
        mine = [order for order in orders.values() if order.sku == product.sku]
        held, shipped = sum(order.held for order in mine), sum(order.shipped for order in mine)
        total = product.available + held + shipped
        if total != product.initial:
            found.append(
                f"{product.sku!r}: {product.available} in stock + {held} reserved + {shipped} shipped"
                f" = {total}, not {product.initial}"
            )
    return found


def money_follows_goods(ledger: Ledger) -> list[str]:
    """charged - refunded = price x shipped, for every order that holds nothing in reserve any more."""
    found: list[str] = []
    shelves = {product.sku: product for product in ledger.products}
    for name, order in _orders(ledger.effects).items():
        shelf = shelves.get(order.sku)
        if order.held:
            continue
        due = {shelf.currency: shelf.unit_price * order.shipped} if shelf and order.shipped else {}
        for currency in sorted({*order.charged, *order.refunded, *due}):
            charged, refunded = order.charged[currency], order.refunded[currency]
            if charged - refunded != due.get(currency, 0):
                found.append(
                    f"reservation {name!r}: {charged} charged - {refunded} refunded = {charged - refunded} {currency},"
                    f" but {order.shipped} shipped are worth {due.get(currency, 0)}"
                )
    return found


def nothing_is_left_open(ledger: Ledger) -> list[str]:
    """No order keeps goods in reserve."""
    return [
        f"reservation {name!r} still holds {order.held} of {order.sku!r}"
        for name, order in _orders(ledger.effects).items()
        if order.held
    ]


@dataclass
class _Order:
    """What the effects say of one reservation."""

    sku: str = ""
    held: int = 0
    shipped: int = 0
    charged: Counter[str] = field(default_factory=Counter)
    refunded: Counter[str] = field(default_factory=Counter)

    def add(self, effect: AppliedEffect) -> None:
        self.sku = self.sku or effect.sku
        match effect.operation:
            case "reserve":
                self.held += effect.quantity
            case "release":
                self.held -= effect.quantity
            case "ship":
                self.held -= effect.quantity
                self.shipped += effect.quantity
            case "cancel":
                self.held += effect.quantity
                self.shipped -= effect.quantity
            case "charge":
                self.charged[effect.currency] += effect.amount
            case "refund":
                self.refunded[effect.currency] += effect.amount
            case unknown:
                raise ValueError(f"the audit has an effect of {unknown!r}; teach it to `_Order.add`")


def _orders(effects: Iterable[AppliedEffect]) -> Mapping[str, _Order]:
    orders: dict[str, _Order] = {}
    for effect in effects:
        orders.setdefault(effect.reservation, _Order()).add(effect)
    return orders
