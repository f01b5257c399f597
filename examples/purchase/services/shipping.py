"""Shipping: sends what is reserved, and calls it back. It does not ask whether anybody paid.

    POST /ship    reservation, address  →  201 id, reservation     422 not_held
    POST /cancel  shipment              →  200 id                  422 cancelled_already

Sending turns the reservation into shipped goods in the same transaction; cancelling makes it held again.
"""

from purchase.services.call import Answer, Call, Effect, Refusal

__all__ = ["READS", "WRITES"]


def _ship(call: Call) -> Answer:
    address = call.text("address")
    reservation, sku, quantity, state = call.one("reservation", call.text("reservation"))
    if state != "held":
        raise Refusal(
            422, "not_held", f"reservation {reservation!r} is {state}; only a held one can be shipped"
        )
    call.db.execute("UPDATE reservation SET state = 'shipped' WHERE id = ?", (reservation,))
    shipment = call.new_id("sh")
    call.db.execute("INSERT INTO shipment VALUES (?, ?, ?, 'sent')", (shipment, reservation, address))
    effect = Effect(shipment, reservation, sku=sku, quantity=quantity)
    return Answer(201, {"id": shipment, "reservation": reservation}, effect)


def _cancel(call: Call) -> Answer:
    shipment, sent, _, state = call.one("shipment", call.text("shipment"))
    if state == "cancelled":
        raise Refusal(422, "cancelled_already", f"shipment {shipment!r} is cancelled already")
    reservation, sku, quantity, _ = call.one("reservation", sent)
    call.db.execute("UPDATE shipment SET state = 'cancelled' WHERE id = ?", (shipment,))
    call.db.execute("UPDATE reservation SET state = 'held' WHERE id = ?", (reservation,))
    return Answer(200, {"id": shipment}, Effect(shipment, reservation, sku=sku, quantity=quantity))


WRITES = {"ship": _ship, "cancel": _cancel}
READS = {}
