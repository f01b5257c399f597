"""Refusing what Temporal would not take, before it is a command: a workflow task with an oversized payload is refused
by the server and retried for ever.

Side: workflow. Commands only; what a node or a client sends is checked where it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from temporalio import workflow
from temporalio.common import RawValue

from perdure.contract.thread import ThreadState
from perdure.errors import PayloadTooLarge
from perdure.payloads.limits import check_parts, check_size

__all__ = ["EXTERN_PAYLOAD_LIMIT", "payload_limit", "sendable", "told_state"]

EXTERN_PAYLOAD_LIMIT = "perdure.payload_limit"


def payload_limit() -> int:
    """How many bytes one payload may have: it depends on whether this worker has external storage."""
    return cast("Callable[[], int]", workflow.extern_functions()[EXTERN_PAYLOAD_LIMIT])()


def sendable(value: Any, what: str, *, parts: Any = None) -> RawValue:
    """`value` as a payload.

    Args:
        what: the subject of the error's sentence.
        parts: channel values by name; the error names the largest.

    Raises:
        PayloadTooLarge: when it is over the limit.
    """
    check_parts(value, what)
    converter = workflow.payload_converter()
    return RawValue(
        check_size(converter.to_payload(value), what, limit=payload_limit(), converter=converter, parts=parts)
    )


def told_state(state: ThreadState) -> RawValue:
    """The answer to who asks for a thread's state: without its values, if they are too large, as the rest is needed to
    answer what waits."""
    try:
        return sendable(state, "the thread's state", parts=state.values)
    except PayloadTooLarge as error:
        return sendable(replace(state, values=None, error=str(error)), "what the thread asks")
