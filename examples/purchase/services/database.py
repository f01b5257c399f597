"""The services' only state: one SQLite file. Any process may open it, also while the services are down.

Invariant: what a transaction committed survives a SIGKILL. Not guaranteed: that it survives a power cut
(`synchronous=NORMAL`).
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CATALOGUE", "Product", "open_database", "stock_up", "transaction"]

_SCHEMA = """
-- The books: how things are now.
CREATE TABLE IF NOT EXISTS product (
    sku TEXT PRIMARY KEY, unit_price INTEGER NOT NULL, currency TEXT NOT NULL,
    initial INTEGER NOT NULL, available INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS reservation (
    id TEXT PRIMARY KEY, sku TEXT NOT NULL, quantity INTEGER NOT NULL,
    state TEXT NOT NULL  -- held, released or shipped
) STRICT;
CREATE TABLE IF NOT EXISTS charge (
    id TEXT PRIMARY KEY, reservation TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL,
    refunded INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS shipment (
    id TEXT PRIMARY KEY, reservation TEXT NOT NULL, address TEXT NOT NULL,
    state TEXT NOT NULL  -- sent or cancelled
) STRICT;
-- The answer that belongs to a key.
CREATE TABLE IF NOT EXISTS answer (
    service TEXT NOT NULL, key TEXT NOT NULL, operation TEXT NOT NULL, digest TEXT NOT NULL,
    status INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (service, key)
) STRICT;
-- The audit. Nothing here is unique, so that an effect that came twice would show.
CREATE TABLE IF NOT EXISTS effect (
    number INTEGER PRIMARY KEY, request INTEGER NOT NULL, at TEXT NOT NULL, service TEXT NOT NULL,
    operation TEXT NOT NULL, key TEXT NOT NULL, subject TEXT NOT NULL, reservation TEXT NOT NULL,
    sku TEXT NOT NULL, quantity INTEGER NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS request (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, service TEXT NOT NULL, operation TEXT NOT NULL,
    key TEXT NOT NULL, status INTEGER, replayed INTEGER NOT NULL DEFAULT 0, fault TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS request_by_key ON request (service, key, operation);
-- The fault switches.
CREATE TABLE IF NOT EXISTS fault (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, service TEXT NOT NULL, operation TEXT NOT NULL,
    times INTEGER, probability REAL NOT NULL, delay_ms INTEGER NOT NULL,
    status INTEGER NOT NULL, reason TEXT NOT NULL
) STRICT;
"""


@dataclass(frozen=True)
class Product:
    """What the inventory begins with: `stock` pieces at `unit_price`, in the currency's minor unit."""

    sku: str
    unit_price: int
    stock: int
    currency: str = "EUR"


CATALOGUE = (Product("lamp", 4900, 100), Product("desk", 38900, 20), Product("chair", 12900, 40))
"""The products when nothing else is said."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file, and make it and its folder if need be. The caller closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=30, isolation_level=None)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.executescript(_SCHEMA)
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """All or nothing; no other process writes meanwhile."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def stock_up(db: sqlite3.Connection, products: tuple[Product, ...]) -> None:
    """Put products on the shelf; one that is there already stays as it is."""
    with transaction(db):
        db.executemany(
            "INSERT INTO product VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(p.sku, p.unit_price, p.currency, p.stock, p.stock) for p in products],
        )
