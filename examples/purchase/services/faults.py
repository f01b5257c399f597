"""The fault switches: what goes wrong, where, and how often. Kept in the database, so they survive a SIGKILL and any
process can set them, also before the services start.

| kind           | what happens                                                    | has the effect happened? |
|----------------|-----------------------------------------------------------------|--------------------------|
| unavailable    | 503 at once                                                     | no                       |
| timeout_before | no answer, until the caller hangs up                            | no                       |
| reset_before   | the connection is reset                                         | no                       |
| slow           | `delay_ms` pass first; a caller who hangs up changes nothing    | yes                      |
| reject         | `status` with `reason`; 402 and 422 stay the key's answer       | no                       |
| timeout_after  | no answer, until the caller hangs up                            | yes                      |
| reset_after    | the connection is reset                                         | yes                      |
| malformed      | the right status with half a JSON document                      | yes                      |

For a key that has its answer already, "happened" means that the answer is found again; `reject` leaves it alone.
The first switch that fits a request and fires counts. Whether one with a probability fires depends on the seed, the
operation, the key and how often the key was sent: not on the clock, nor on what else is under way.
"""

import random
import sqlite3
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any, Literal, Self, get_args

from purchase.services.operations import SERVICES

__all__ = ["Fault", "Faults", "Kind"]

Kind = Literal[
    "unavailable",
    "timeout_before",
    "reset_before",
    "slow",
    "reject",
    "timeout_after",
    "reset_after",
    "malformed",
]

_ANY = "*"


@dataclass(frozen=True)
class Fault:
    """One switch.

    Args:
        service: `inventory`, `payments`, `shipping`, or `*` for each.
        operation: such as `charge` or `by_key`, or `*` for each.
        times: how often it fires; None is for ever.
        probability: from 0 to 1, that it fires at a request.
        delay_ms: for `slow`.
        status: for `reject`, as is `reason`.

    Raises:
        ValueError: nothing has this name, or a number is out of its range.
    """

    kind: Kind
    service: str = _ANY
    operation: str = _ANY
    times: int | None = 1
    probability: float = 1.0
    delay_ms: int = 0
    status: int = 422
    reason: str = "refused"

    def __post_init__(self) -> None:
        services = [self.service] if self.service in SERVICES else list(SERVICES)
        operations = {name for service in services for name in SERVICES[service].names}
        _one_of("kind", self.kind, get_args(Kind))
        _one_of("service", self.service, (_ANY, *SERVICES))
        _one_of("operation", self.operation, (_ANY, *sorted(operations)))
        _one_of("status", self.status, (402, 409, 422))
        if self.times is not None and self.times < 1:
            raise ValueError(f"times is {self.times!r}; give a number from 1 up, or None for ever")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability is {self.probability!r}; give a number from 0 to 1")
        if self.delay_ms < 0:
            raise ValueError(f"delay_ms is {self.delay_ms!r}; give a number from 0 up")

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Read a switch from a JSON object; fields left out have their defaults.

        Raises:
            ValueError: it is no object, or a field is unknown, missing or wrong.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(content, dict) or not set(content) <= set(known):
            raise ValueError(f"a fault is an object with some of {', '.join(known)}, not {content!r}")
        try:
            return cls(**content)
        except TypeError as error:
            raise ValueError(f"{content!r} is no fault: {error}") from error


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; give one of {', '.join(map(str, known))}")


class Faults:
    """The switches in a database. `seed` decides where those with a probability fire."""

    def __init__(self, db: sqlite3.Connection, *, seed: int = 0) -> None:
        self._db = db
        self.seed = seed

    def add(self, *faults: Fault) -> None:
        """Switch faults on, after those that are on already."""
        names = [field.name for field in fields(Fault)]
        self._db.executemany(
            f"INSERT INTO fault ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            [astuple(fault) for fault in faults],
        )

    def add_random(self, probabilities: Mapping[Kind, float], *, delay_ms: int = 50) -> None:
        """Switch faults on for every operation of every service, for ever, each with its probability."""
        self.add(
            *(
                Fault(kind, times=None, probability=probability, delay_ms=delay_ms)
                for kind, probability in probabilities.items()
            )
        )

    def on(self, service: str = _ANY) -> list[Fault]:
        """The switches that can still fire, all or those for one service."""
        rows = self._db.execute("SELECT * FROM fault ORDER BY number").fetchall()
        return [_fault(row) for row in rows if service in (_ANY, row["service"]) or row["service"] == _ANY]

    def clear(self, service: str = _ANY) -> None:
        """Switch all faults off, or those that are for one service alone."""
        self._db.execute("DELETE FROM fault WHERE ? IN ('*', service)", (service,))

    def draw(self, service: str, operation: str, key: str, *, attempt: int, answered: bool) -> Fault | None:
        """The fault for this request, which counts as one of its times.

        Args:
            attempt: how often this was sent with this key, counting from 1.
            answered: whether the key has its answer already.
        """
        rows = self._db.execute(
            "SELECT * FROM fault WHERE service IN (?, '*') AND operation IN (?, '*') ORDER BY number",
            (service, operation),
        ).fetchall()
        for row in rows:
            fault = _fault(row)
            if answered and fault.kind == "reject":
                continue
            where = f"{self.seed}/{service}/{operation}/{key}/{attempt}/{fault.kind}"
            if random.Random(where).random() < fault.probability:
                self._count(row)
                return fault
        return None

    def _count(self, row: sqlite3.Row) -> None:
        if row["times"] == 1:
            self._db.execute("DELETE FROM fault WHERE number = ?", (row["number"],))
        else:  # NULL, which is for ever, stays NULL
            self._db.execute("UPDATE fault SET times = times - 1 WHERE number = ?", (row["number"],))


def _fault(row: sqlite3.Row) -> Fault:
    return Fault(**{field.name: row[field.name] for field in fields(Fault)})
