"""What a thread did to the world since a checkpoint that it is to start from again.

Side: client.
"""

from __future__ import annotations

import warnings
from typing import Any

from temporalio.client import WorkflowHandle

from perdure.client.handle import query
from perdure.contract import names
from perdure.contract.effect import EffectEntry, OwedEffects

__all__ = ["EffectsHappened", "happened_since", "warn_of_effects"]


class EffectsHappened(UserWarning):
    """A run starts from before effects that happened. They are made again, under new keys.

    Attributes:
        effects: what happened, oldest first.
    """

    def __init__(self, thread_id: str, effects: list[EffectEntry]) -> None:
        told = ", ".join(f"{entry.name} (node {entry.node}, key {entry.key})" for entry in effects)
        super().__init__(
            f"thread {thread_id!r} starts from before effects that happened and may be made again, under new keys: {told}"
        )
        self.effects = effects


async def happened_since(handle: WorkflowHandle[Any, Any], checkpoint_id: str) -> list[EffectEntry]:
    """Oldest first. Raises ThreadNotFound for an unknown thread."""
    return (await query(handle, names.QUERY_HAPPENED, checkpoint_id, OwedEffects)).entries


async def warn_of_effects(handle: WorkflowHandle[Any, Any], checkpoint_id: str) -> None:
    if effects := await happened_since(handle, checkpoint_id):
        # Whoever called the client: above this function, its caller, and the client's own method.
        warnings.warn(EffectsHappened(handle.id, effects), stacklevel=4)
