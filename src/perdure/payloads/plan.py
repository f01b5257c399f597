"""The vocabulary of the payload modules. Either side; owns the tag and the shape of a compiled plan.

A *generic* value is written so that it restores itself: JSON types as they are, all others as an object with a
tag. A *plan* is what a type hint adds: a shorter plain form, for values that are exactly of the hinted type.
Invariant of every plan: a value that is not of that type, but would be mistaken for its plain form, is escaped.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from perdure.errors import PayloadNotSerializable
from perdure.payloads.registry import TypeRegistry

__all__ = ["ATOMS", "TAG", "Coder", "Plan", "Record", "Refused", "is_tagged"]

TAG = "$type"
"""The key that names the type of a tagged object. A user's dict that holds it is escaped."""

ATOMS = frozenset({str, int, bool, type(None)})
"""The exact types that are their own payload. Not float: NaN and the infinities are no JSON."""


def is_tagged(data: Any) -> bool:
    """Whether JSON is a tagged object. A `$type` that is no text can only be a foreign client's own key."""
    return type(data) is dict and type(data.get(TAG)) is str


class Refused(PayloadNotSerializable):
    """Raised deep inside an encoding; whoever began the encoding adds the path.

    Attributes:
        subject: what was refused.
        fix: what to do about it.
    """

    def __init__(self, subject: str, fix: str) -> None:
        super().__init__(subject, fix)
        self.subject = subject
        self.fix = fix


class Plan(NamedTuple):
    """How the values of one type hint are written and read.

    Attributes:
        encode: any value → JSON.
        decode: JSON → value.
        owner: the exact Python type that has a plain form; None if the hint only checks.
        kind: the JSON type of that plain form.
    """

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    owner: type | None = None
    kind: type | None = None


class Record(NamedTuple):
    """How the instances of one class are written into a JSON object, and read from one."""

    write: Callable[[Any, dict[str, Any]], dict[str, Any]]
    read: Callable[[dict[str, Any]], Any]


class Coder(Protocol):
    """What compiled code may call: see `Codec`, its one implementation."""

    registry: TypeRegistry

    def encode(self, value: Any) -> Any:
        """The generic form of any value."""
        ...

    def decode(self, data: Any) -> Any:
        """The value of a generic form."""
        ...

    def escape(self, value: Any) -> Any:
        """A JSON-native value in tagged form, where its plain form would be mistaken for another type."""
        ...

    def ordered(self, items: list[Any]) -> list[Any]:
        """Encoded items in an order that is the same in every process."""
        ...

    def record(self, tp: type) -> Record:
        """The record of an allowed class."""
        ...

    def plan(self, hint: Any, *, strict: bool = False) -> Plan | None:
        """The plan of a type hint, see `hints`; None if its values are written generically."""
        ...
