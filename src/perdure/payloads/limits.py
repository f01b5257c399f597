"""How large a payload may be, and what is said of one that is larger. Either side.

Temporal itself takes 2 MiB. With external storage a payload over a threshold is kept elsewhere and Temporal gets a
reference; what bounds it then is the time and memory that a workflow task has for reading it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter

from perdure.errors import PayloadTooLarge

__all__ = ["INLINE_BYTES", "PAYLOADS_VARIABLE", "STORED_BYTES", "check_size"]

PAYLOADS_VARIABLE = "PERDURE_PAYLOADS"
"""The environment variable that says where large payloads are kept."""

INLINE_BYTES = PayloadTooLarge.limit_bytes
"""Without external storage."""
STORED_BYTES = 64 * 1024 * 1024
"""With external storage."""


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
    fix = "keep large data in a file or database and put its name in the state"
    if limit == INLINE_BYTES:
        fix = f"set {PAYLOADS_VARIABLE} to where large values may be kept (file:///folder or s3://bucket), or {fix}"
    raise PayloadTooLarge(
        f"{what} is {len(payload.data):,} bytes{_largest(parts, converter)}, over the limit of {limit:,}: {fix}"
    )


def _largest(parts: Any, converter: PayloadConverter) -> str:
    if not isinstance(parts, Mapping) or not parts:
        return ""
    sizes = {str(name): len(converter.to_payload(value).data) for name, value in parts.items()}
    name = max(sizes, key=lambda name: sizes[name])
    return f" (channel {name!r}: {sizes[name]:,})"
