"""Writes down every request and every applied effect, and keeps the answer that belongs to a key.

Invariant: an effect, its audit row and the key's answer are one transaction.
"""

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

from purchase.services.call import Answer, Call, Effect, Refusal
from purchase.services.database import transaction

__all__ = ["Audit"]


class Audit:
    """The audit and the kept answers of one service."""

    def __init__(self, db: sqlite3.Connection, service: str) -> None:
        self._db = db
        self._service = service

    def arrived(self, operation: str, key: str) -> tuple[int, int]:
        """Note a request. Gives its number, and how often it was sent with this key by now."""
        number = self._db.execute(
            "INSERT INTO request (at, service, operation, key) VALUES (?, ?, ?, ?)",
            (_now(), self._service, operation, key),
        ).lastrowid
        assert number is not None
        (attempt,) = self._db.execute(
            "SELECT count(*) FROM request WHERE service = ? AND key = ? AND operation = ?",
            (self._service, key, operation),
        ).fetchone()
        return number, attempt

    def decided(self, number: int, answer: Answer | None, fault: str | None) -> None:
        """Note what became of a request, before anything is sent. `answer` is None if it never was looked at."""
        self._db.execute(
            "UPDATE request SET status = ?, replayed = ?, fault = ? WHERE number = ?",
            (answer and answer.status, answer is not None and answer.replayed, fault, number),
        )

    def has_answer(self, key: str) -> bool:
        return self._kept(key) is not None

    def effect_of(self, key: str) -> Answer:
        """The answer that a key got when it had its effect."""
        kept = self._kept(key)
        if kept is None or kept["status"] >= 300:
            raise Refusal(404, "no_effect", f"nothing has happened under the key {key!r}")
        return Answer(200, json.loads(kept["body"]))

    def apply(
        self, number: int, operation: str, call: Call, digest: str, act: Callable[[Call], Answer]
    ) -> Answer:
        """Do it and note it, or find what the key got before.

        Raises:
            Refusal: the key was used for something else, or the operation refuses for now.
        """
        with transaction(self._db):
            kept = self._kept(call.key)
            if kept is not None:
                if (kept["operation"], kept["digest"]) != (operation, digest):
                    raise Refusal(422, "key_reused", f"the key {call.key!r} belongs to another request")
                return Answer(kept["status"], json.loads(kept["body"]), replayed=True)
            try:
                answer = act(call)
            except Refusal as refusal:
                if not refusal.final:
                    raise
                answer = refusal.answer
            self._keep(operation, call.key, digest, answer)
            if answer.effect is not None:
                self._note(number, operation, call.key, answer.effect)
            return answer

    def _kept(self, key: str) -> sqlite3.Row | None:
        return self._db.execute(
            "SELECT * FROM answer WHERE service = ? AND key = ?", (self._service, key)
        ).fetchone()

    def _keep(self, operation: str, key: str, digest: str, answer: Answer) -> None:
        self._db.execute(
            "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?)",
            (self._service, key, operation, digest, answer.status, json.dumps(answer.body)),
        )

    def _note(self, number: int, operation: str, key: str, effect: Effect) -> None:
        self._db.execute(
            "INSERT INTO effect (request, at, service, operation, key, subject, reservation, sku, quantity, amount,"
            " currency) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                _now(),
                self._service,
                operation,
                key,
                effect.subject,
                effect.reservation,
                effect.sku,
                effect.quantity,
                effect.amount,
                effect.currency,
            ),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
