"""LangGraph's reducer for messages, which does not merge the same lists twice.

Side: workflow. After each node, LangGraph merges its messages once for the conditional edges that read them, and then again for
the state. Of a long conversation that is a good part of a step. The second time, the list that it came to is copied.

Invariant: nothing differs but the time. Where a merge makes new messages, of dicts or chunks, it is made again: their ids are
drawn from the workflow's random numbers, and how often that happens must not depend on what other workflows do meanwhile.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage, BaseMessageChunk
from langgraph.graph.message import add_messages

__all__ = ["MergedOnce"]

_Last = tuple[list[Any], int, list[Any], int, list[Any]]


class MergedOnce:
    """One per channel of a mirrored graph, for all its workflows; these may be in several threads."""

    __name__ = "add_messages"

    def __init__(self) -> None:
        # Replaced as a whole, so that no thread sees half of it.
        self._last: _Last | None = None

    def __call__(self, left: Any, right: Any) -> Any:
        last = self._last
        if (
            last is not None
            and last[0] is left
            and last[2] is right
            and (last[1], last[3]) == (len(left), len(right))
        ):
            return last[4].copy()
        merged: Any = add_messages(left, right)
        if type(left) is type(right) is list and all(map(_is_whole, {*map(type, left), *map(type, right)})):
            self._last = (left, len(left), right, len(right), merged.copy())
        return merged


def _is_whole(kind: type) -> bool:
    return issubclass(kind, BaseMessage) and not issubclass(kind, BaseMessageChunk)
