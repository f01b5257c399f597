"""The inventory: sets goods aside and puts them back. Shipping uses a reservation up.

POST /reserve  sku, quantity  →  201 id, sku, quantity, amount, currency    422 out_of_stock
POST /release  reservation    →  200 id                                     422 not_held    409 shipped
GET  /stock    [/sku]         →  200 sku, available, reserved, shipped, unit_price, currency
"""

import sqlite3
from typing import Any

from purchase.services.call import Answer, Call, Effect, Refusal

__all__ = ["READS", "WRITES"]


def _reserve(call: Call) -> Answer:
    sku, quantity = call.text("sku"), call.positive("quantity")
    product = call.one("product", sku)
    if product["available"] < quantity:
        raise Refusal(
            422, "out_of_stock", f"{product['available']} of {sku!r} are available, {quantity} are wanted"
        )
    call.db.execute("UPDATE product SET available = available - ? WHERE sku = ?", (quantity, sku))
    reservation = call.new_id("res")
    call.db.execute("INSERT INTO reservation VALUES (?, ?, ?, 'held')", (reservation, sku, quantity))
    amount = quantity * product["unit_price"]
    body = {"id": reservation, "sku": sku, "quantity": quantity}
    effect = Effect(reservation, reservation, sku=sku, quantity=quantity)
    return Answer(201, {**body, "amount": amount, "currency": product["currency"]}, effect)


def _release(call: Call) -> Answer:
    reservation, sku, quantity, state = call.one("reservation", call.text("reservation"))
    if state == "shipped":
        # The shipment may be called back: not this key's answer for ever.
        raise Refusal(409, "shipped", f"reservation {reservation!r} is shipped; call the shipment back first")
    if state != "held":
        raise Refusal(
            422, "not_held", f"reservation {reservation!r} is {state}; only one that is held is released"
        )
    call.db.execute("UPDATE reservation SET state = 'released' WHERE id = ?", (reservation,))
    call.db.execute("UPDATE product SET available = available + ? WHERE sku = ?", (quantity, sku))
    return Answer(200, {"id": reservation}, Effect(reservation, reservation, sku=sku, quantity=quantity))


def _stock(db: sqlite3.Connection, sku: str) -> Answer:
    rows = db.execute("SELECT * FROM product ORDER BY sku").fetchall()
    if not sku:
        return Answer(200, {"stock": [_shelf(db, row) for row in rows]})
    found = [row for row in rows if row["sku"] == sku]
    if not found:
        raise Refusal(404, "no_such_product", f"there is no product {sku!r}")
    return Answer(200, _shelf(db, found[0]))


def _shelf(db: sqlite3.Connection, product: sqlite3.Row) -> dict[str, Any]:
    reserved, shipped = db.execute(
        "SELECT coalesce(sum(quantity) FILTER (WHERE state = 'held'), 0),"
        " coalesce(sum(quantity) FILTER (WHERE state = 'shipped'), 0) FROM reservation WHERE sku = ?",
        (product["sku"],),
    ).fetchone()
    shelf = {name: product[name] for name in ("sku", "available", "unit_price", "currency")}
    return {**shelf, "reserved": reserved, "shipped": shipped}


WRITES = {"reserve": _reserve, "release": _release}
READS = {"stock": _stock}
