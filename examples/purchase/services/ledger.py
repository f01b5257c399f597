"""What the services know, read from their file at one moment: the oracle of every test. They may run, or be dead."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

__all__ = ["AppliedEffect", "Ledger", "Request", "ReservedGoods", "Shelf", "read_ledger"]


@dataclass(frozen=True)
class Shelf:
    """A product in the inventory's books."""

    sku: str
    unit_price: int
    currency: str
    initial: int
    available: int


@dataclass(frozen=True)
class ReservedGoods:
    """A reservation in the inventory's books; `state` is held, released or shipped."""

    id: str
    sku: str
    quantity: int
    state: str


@dataclass(frozen=True)
class AppliedEffect:
    """Something that happened. `request` is the number of the request that did it; amounts are in minor units."""

    number: int
    request: int
    at: str
    service: str
    operation: str
    key: str
    subject: str
    reservation: str
    sku: str
    quantity: int
    amount: int
    currency: str


@dataclass(frozen=True)
class Request:
    """A request that arrived. `status` is what was decided, also if a fault kept it from the caller; None: nothing."""

    number: int
    at: str
    service: str
    operation: str
    key: str
    status: int | None
    replayed: bool
    fault: str | None


@dataclass(frozen=True)
class Ledger:
    """The books and the audit, oldest first."""

    products: tuple[Shelf, ...]
    reservations: tuple[ReservedGoods, ...]
    effects: tuple[AppliedEffect, ...]
    requests: tuple[Request, ...]

    def applied(self, operation: str) -> int:
        """How often an operation had its effect."""
        return sum(effect.operation == operation for effect in self.effects)


def read_ledger(database: Path) -> Ledger:
    """Read all of it in one transaction.

    Raises:
        sqlite3.OperationalError: there is no such file.
    """
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True, timeout=30)) as db:
        db.row_factory = sqlite3.Row

        def rows(table: str) -> list[dict[str, Any]]:
            return [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY rowid")]

        db.execute("BEGIN")
        return Ledger(
            products=tuple(Shelf(**row) for row in rows("product")),
            reservations=tuple(ReservedGoods(**row) for row in rows("reservation")),
            effects=tuple(AppliedEffect(**row) for row in rows("effect")),
            requests=tuple(
                replace(Request(**row), replayed=bool(row["replayed"])) for row in rows("request")
            ),
        )
