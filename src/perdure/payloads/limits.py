"""How large a payload may be, and what is said of one that is larger. Either side.

Temporal itself takes 2 MiB. With external storage a payload over a threshold is kept elsewhere and Temporal gets a
reference; what bounds it then is the time that a workflow has for reading it: its turn ends within 2 s, or Temporal's SDK
takes it for stuck, and tries again for ever. Text is read fast, many small parts are not (some 5 µs each).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, cast

from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter

from perdure.errors import PayloadTooLarge

__all__ = ["INLINE_BYTES", "MOST_PARTS", "PAYLOADS_VARIABLE", "STORED_BYTES", "check_parts", "check_size"]

PAYLOADS_VARIABLE = "PERDURE_PAYLOADS"
"""The environment variable that says where large payloads are kept."""

INLINE_BYTES = PayloadTooLarge.limit_bytes
"""Without external storage."""
STORED_BYTES = 64 * 1024 * 1024
"""With external storage."""
MOST_PARTS = 150_000
"""Containers in one value; ten plain values or empty containers count as one, an object as three."""

_KEEP = "keep large data in a file or database and put its name in the state"
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
_LISTS = (list, tuple, set, frozenset, deque)


def check_parts(value: Any, what: str) -> None:
    """The value has not too many parts to be read in one turn of a workflow. Cheaper than encoding it.

    Raises:
        PayloadTooLarge: naming `what`, the limit and the fix.
    """
    room = MOST_PARTS * 10
    waiting = [value]
    while waiting and room >= 0:
        weight, children = _children(waiting.pop())
        room -= weight + len(children)
        waiting += [child for child in children if type(child) not in _PLAIN]
    if room < 0:
        raise PayloadTooLarge(
            f"{what} has more than {MOST_PARTS:,} parts (dicts, lists, objects), or contains itself: hand large data on as "
            f"text or bytes, or {_KEEP}"
        )


def _children(value: Any) -> tuple[int, Collection[Any]]:
    """A container's weight, in tenths of a part, and what is in it."""
    if isinstance(value, dict):
        return 10 if value else 0, cast("dict[Any, Any]", value).values()
    if isinstance(value, _LISTS):
        return 10 if value else 0, cast("Collection[Any]", value)
    if hasattr(type(value), "__pydantic_fields__") or hasattr(type(value), "__dataclass_fields__"):
        return 30, cast("dict[str, Any]", getattr(value, "__dict__", {})).values()
    return 0, ()


def check_size(
    payload: Payload, what: str, *, limit: int, converter: PayloadConverter, parts: Any = None
) -> Payload:
    """The payload, if it may be sent.

    Args:
        what: the subject of the error's sentence, such as "the result of node 'search'".
        limit: `INLINE_BYTES` or `STORED_BYTES`.
        parts: channel values by name, if the payload has them; the error names the largest.

    Raises:
        PayloadTooLarge: naming `what`, the size, the limit and the fix.
    """
    if len(payload.data) <= limit:
        return payload
    fix = _KEEP
    if limit == INLINE_BYTES:
        fix = f"set {PAYLOADS_VARIABLE} to where large values may be kept (file:///folder or s3://bucket), or {_KEEP}"
    raise PayloadTooLarge(
        f"{what} is {len(payload.data):,} bytes{_largest(parts, converter)}, over the limit of {limit:,}: {fix}"
    )


def _largest(parts: Any, converter: PayloadConverter) -> str:
    if not isinstance(parts, Mapping) or not parts:
        return ""
    sizes = {str(name): len(converter.to_payload(value).data) for name, value in parts.items()}
    name = max(sizes, key=lambda name: sizes[name])
    return f" (channel {name!r}: {sizes[name]:,})"
