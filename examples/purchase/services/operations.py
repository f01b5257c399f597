"""The three services and their operations, by name: the routes, and what a fault can name."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from purchase.services import inventory, payments, shipping
from purchase.services.call import Answer, Call

__all__ = ["SERVICES", "Operations"]


@dataclass(frozen=True)
class Operations:
    """What one service can do. Every service also has `by_key`, which tells what a key has done."""

    writes: Mapping[str, Callable[[Call], Answer]]
    reads: Mapping[str, Callable[[sqlite3.Connection, str], Answer]]

    @property
    def names(self) -> list[str]:
        return [*self.writes, *self.reads, "by_key"]


SERVICES: Mapping[str, Operations] = {
    "inventory": Operations(inventory.WRITES, inventory.READS),
    "payments": Operations(payments.WRITES, payments.READS),
    "shipping": Operations(shipping.WRITES, shipping.READS),
}
