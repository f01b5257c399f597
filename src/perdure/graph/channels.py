"""Channels of a mirrored graph whose values LangGraph leaves out of checkpoints.

Side: workflow. A checkpoint costs nothing in a workflow (it is kept by reference), and continuing as new must be seen by
nobody, so a mirrored graph's checkpoints are whole:

| channel          | LangGraph                                            | here                                             |
|------------------|------------------------------------------------------|--------------------------------------------------|
| `DeltaChannel`   | rebuilt from the writes of earlier checkpoints       | its value is in every checkpoint                 |
| `UntrackedValue` | in no checkpoint, so gone in the next run            | taken along by a run that goes on after it       |
|                  | and after an interrupt                               | continued as new, and by no other                |
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from langgraph.channels import BinaryOperatorAggregate, UntrackedValue
from langgraph.graph.message import add_messages

from perdure._compat import DeltaChannel
from perdure.graph.merging import MergedOnce

__all__ = ["going_on", "is_going_on", "whole_channel"]

_going_on: ContextVar[bool] = ContextVar("perdure_going_on", default=False)


@contextmanager
def going_on(after_continuing: bool) -> Generator[None]:
    """Where true, a graph that starts from a checkpoint is one that continued as new, and gets its untracked values back."""
    token = _going_on.set(after_continuing)
    try:
        yield
    finally:
        # As in `graph_scope`.
        with suppress(ValueError):
            _going_on.reset(token)


def is_going_on() -> bool:
    """Whether graphs that start now from a checkpoint continued as new there."""
    return _going_on.get()


def whole_channel(channel: Any) -> Any:
    """The channel, or its like with whole checkpoints, or with a reducer of messages that merges them once. Subclasses of a
    user's own are left as they are."""
    if type(channel) is DeltaChannel:
        whole = _WholeDelta(channel.reducer, channel.typ, snapshot_frequency=sys.maxsize)
    elif type(channel) is UntrackedValue:
        whole = _CarriedValue(channel.typ, channel.guard)
    elif type(channel) is BinaryOperatorAggregate and channel.operator is add_messages:
        whole = BinaryOperatorAggregate(channel.typ, MergedOnce())
    else:
        return channel
    whole.key = channel.key
    return whole


class _WholeDelta(DeltaChannel[Any]):
    __slots__ = ()

    def checkpoint(self) -> Any:
        return self.value


class _CarriedValue(UntrackedValue[Any]):
    __slots__ = ()

    def checkpoint(self) -> Any:
        return self.value

    def from_checkpoint(self, checkpoint: Any) -> Any:
        restored = super().from_checkpoint(checkpoint)
        if _going_on.get():
            restored.value = checkpoint
        return restored
