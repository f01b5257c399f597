"""Payments: takes money for a reservation and gives it back. It knows nothing of prices or goods.

    POST /charge  card, amount, currency, reservation  →  201 id, reservation, amount, currency   402 card_declined
    POST /refund  charge, [amount]                     →  201 id, charge, amount, currency        422 refund_too_large

Amounts are in the currency's minor unit. The card `tok_declined` is always declined. Several refunds of one charge
may give back what was charged, together; without `amount` a refund gives back the rest. No card is stored.
"""

from purchase.services.call import Answer, Call, Effect, Refusal

__all__ = ["READS", "WRITES"]

_DECLINED = "tok_declined"


def _charge(call: Call) -> Answer:
    card, amount, reservation = call.text("card"), call.positive("amount"), call.text("reservation")
    currency = call.text("currency")
    if len(currency) != 3 or not currency.isupper():
        raise Refusal(400, "bad_request", f"'currency' must be three capital letters, not {currency!r}")
    if card == _DECLINED:
        raise Refusal(402, "card_declined", "the bank declines this card")
    charge = call.new_id("ch")
    call.db.execute(
        "INSERT INTO charge (id, reservation, amount, currency) VALUES (?, ?, ?, ?)",
        (charge, reservation, amount, currency),
    )
    body = {"id": charge, "reservation": reservation, "amount": amount, "currency": currency}
    return Answer(201, body, Effect(charge, reservation, amount=amount, currency=currency))


def _refund(call: Call) -> Answer:
    charge = call.one("charge", call.text("charge"))
    left = charge["amount"] - charge["refunded"]
    amount = call.positive("amount") if "amount" in call.body else left
    if left == 0 or amount > left:
        spent = f"{charge['amount']} charged, {charge['refunded']} refunded"
        raise Refusal(
            422, "refund_too_large", f"charge {charge['id']!r} ({spent}) has only {left} left to give back"
        )
    call.db.execute("UPDATE charge SET refunded = refunded + ? WHERE id = ?", (amount, charge["id"]))
    refund, currency = call.new_id("re"), charge["currency"]
    body = {"id": refund, "charge": charge["id"], "amount": amount, "currency": currency}
    return Answer(201, body, Effect(refund, charge["reservation"], amount=amount, currency=currency))


WRITES = {"charge": _charge, "refund": _refund}
READS = {}
