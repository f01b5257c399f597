"""A checkpoint told by what it changed since the one before it.

Side: workflow. A state is mostly one long list, of which a step changes little: it grows at its end, is trimmed at its
start, has an item replaced. So a window of checkpoints costs little more than the latest of them. Items are compared by
identity: what a reducer took over is the same object.
"""

from __future__ import annotations

from operator import is_
from typing import Any, cast

from langgraph.checkpoint.base import Checkpoint

from perdure.contract.thread import SavedCheckpoint

__all__ = ["delta", "restored"]

Pieces = list[list[Any]]

_FEW = 8


def delta(
    checkpoint: Checkpoint, before: Checkpoint | None
) -> tuple[dict[str, Any], list[str], dict[str, Pieces]]:
    """The values that must be told in full, the names of unchanged ones, and lists by their pieces: `[start, stop, new]`
    is items of the list before, then new ones."""
    full: dict[str, Any] = {}
    same: list[str] = []
    lists: dict[str, Pieces] = {}
    old = before["channel_values"] if before else {}
    for name, value in checkpoint["channel_values"].items():
        if name not in old:
            full[name] = value
        elif old[name] is value:
            same.append(name)
        elif pieces := _pieces(old[name], value):
            lists[name] = pieces
        else:
            full[name] = value
    return full, same, lists


def restored(saved: SavedCheckpoint, before: dict[str, Any]) -> dict[str, Any]:
    """The channel values of `saved`, given those of its namespace's checkpoint before it."""
    values: dict[str, Any] = dict(saved.checkpoint["channel_values"])
    values.update({name: before[name] for name in saved.same})
    for name, pieces in saved.lists.items():
        values[name] = [item for start, stop, new in pieces for item in (*before[name][start:stop], *new)]
    return values


def _pieces(old: Any, new: Any) -> Pieces | None:
    """`None` where the lists have too little in common for it to be worth it."""
    if type(old) is not list or type(new) is not list:
        return None
    olds, news = cast("list[Any]", old), cast("list[Any]", new)
    shared = next((i for i, same in enumerate(map(is_, olds, news)) if not same), min(len(olds), len(news)))
    where = {id(item): i for i, item in enumerate(olds[shared:], shared)} if shared < len(news) else {}
    pieces: Pieces = [[0, shared, []]]
    for item in news[shared:]:
        start, stop, fresh = pieces[-1]
        at = where.get(id(item))
        if at is None:
            fresh.append(item)
        elif fresh or at != stop:
            pieces.append([at, at + 1, []])
        else:
            pieces[-1] = [start, at + 1, fresh]
    if pieces[0] == [0, 0, []]:
        del pieces[0]
    kept = sum(stop - start for start, stop, _ in pieces)
    return pieces if kept and (len(pieces) <= _FEW or kept > 2 * len(pieces)) else None
