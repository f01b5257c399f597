"""Checkpoints told by what changed: nothing is lost, and a list that changed a little is not told again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from perdure.contract.thread import SavedCheckpoint
from perdure.graph.deltas import delta, restored


def checkpoint(values: dict[str, Any]) -> Any:
    return {"id": "1", "channel_values": values}


def told(old: Any, new: Any) -> tuple[Any, SavedCheckpoint]:
    """What is told of `new`, and what comes out of it."""
    full, same, lists = delta(checkpoint({"x": new}), checkpoint({"x": old}))
    saved = SavedCheckpoint("", checkpoint(full), {}, None, [], same, lists)
    return restored(saved, {"x": old})["x"], saved


ITEMS = st.lists(st.integers(0, 30), max_size=40)


@given(ITEMS, ITEMS)
def test_any_list_comes_back(old: list[int], new: list[int]) -> None:
    again, _ = told(old, new)
    assert again == new


def messages(start: int, stop: int) -> list[Any]:
    return [{"text": str(n)} for n in range(start, stop)]


def test_a_list_that_grows_is_told_by_its_end() -> None:
    old, new = messages(0, 100), messages(100, 102)
    again, saved = told(old, old + new)
    assert again == messages(0, 102)
    assert saved.lists == {"x": [[0, 100, new]]}


def test_a_list_that_is_trimmed_at_its_start_is_told_by_what_is_left() -> None:
    old, new = messages(0, 100), messages(100, 101)
    again, saved = told(old, old[2:] + new)
    assert again == messages(2, 101)
    assert saved.lists == {"x": [[2, 100, new]]}


def test_a_replaced_item_is_told_alone() -> None:
    old, other = messages(0, 100), {"text": "other"}
    again, saved = told(old, [*old[:50], other, *old[51:]])
    assert again == [*messages(0, 50), other, *messages(51, 100)]
    assert saved.lists == {"x": [[0, 50, [other]], [51, 100, []]]}


def test_a_list_that_has_nothing_in_common_is_told_in_full() -> None:
    again, saved = told(messages(0, 10), messages(10, 20))
    assert again == messages(10, 20)
    assert saved.lists == {}


def test_an_unchanged_value_is_only_named() -> None:
    value = {"a": 1}
    again, saved = told(value, value)
    assert again is value
    assert (saved.same, saved.lists, saved.checkpoint["channel_values"]) == (["x"], {}, {})
