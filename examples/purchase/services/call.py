"""What an operation of a service gets and gives: `Call` in, `Answer` out, or `Refusal` raised."""

import hashlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "Call", "Effect", "Refusal"]


@dataclass(frozen=True)
class Effect:
    """What an operation changed, for the audit. `subject` is the id of the thing it made or changed."""

    subject: str
    reservation: str
    sku: str = ""
    quantity: int = 0
    amount: int = 0
    currency: str = ""


@dataclass(frozen=True)
class Answer:
    """What goes back to the caller. `effect` is None for reading and for a refusal."""

    status: int
    body: Mapping[str, Any]
    effect: Effect | None = None
    replayed: bool = False


class Refusal(Exception):
    """The operation says no, and changed nothing. `code` is for programs, the message for people.

    402 and 422 are decisions about known things, and are kept under the key as any answer is. All others leave the
    key free, because they may be otherwise a moment later: what is unknown may have come, the service may be up.
    """

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code

    @property
    def answer(self) -> Answer:
        return Answer(self.status, {"error": self.code, "reason": str(self)})

    @property
    def final(self) -> bool:
        """Whether it is the key's answer from now on."""
        return self.status in (402, 422)


@dataclass(frozen=True)
class Call:
    """One request to a service, inside the transaction that will hold its effect."""

    db: sqlite3.Connection
    key: str
    body: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A field that must be a string with something in it."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value.strip():
            raise Refusal(400, "bad_request", f"{name!r} must be a string that is not empty, not {value!r}")
        return value

    def positive(self, name: str) -> int:
        """A field that must be a whole number from 1 up."""
        value = self.body.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**53:
            raise Refusal(400, "bad_request", f"{name!r} must be a whole number from 1 up, not {value!r}")
        return value

    def one(self, kind: str, id: str) -> sqlite3.Row:
        """The row of `id` in the table `kind`."""
        column = "sku" if kind == "product" else "id"
        row = self.db.execute(f"SELECT * FROM {kind} WHERE {column} = ?", (id,)).fetchone()
        if row is None:
            raise Refusal(404, f"no_such_{kind}", f"there is no {kind} {id!r}")
        return row

    def new_id(self, prefix: str) -> str:
        """An id that depends on the key alone: the same in every run of the same script."""
        return f"{prefix}_{hashlib.sha256(f'{prefix}/{self.key}'.encode()).hexdigest()[:16]}"
