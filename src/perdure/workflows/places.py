"""Numbers for node calls that are the same when a call is made again: after an interrupt, a failure, a reset.

Side: workflow. A call of a node takes the lowest number that is free for its path. One that ends well keeps it, any other
gives it back to the call that will be made in its place.
"""

from __future__ import annotations

from perdure.contract.effect import PlaceBook

__all__ = ["Places"]


class Places:
    """One per thread."""

    def __init__(self, book: PlaceBook) -> None:
        self._next = dict(book.following)
        self._free = {path: set(numbers) for path, numbers in book.free.items()}
        self._taken: dict[str, set[int]] = {}

    def take(self, path: str) -> int:
        free = self._free.get(path)
        if free:
            number = min(free)
            free.discard(number)
        else:
            number = self._next.get(path, 0)
            self._next[path] = number + 1
        self._taken.setdefault(path, set()).add(number)
        return number

    def leave(self, path: str, number: int, *, done: bool) -> None:
        self._taken[path].discard(number)
        if not done:
            self._free.setdefault(path, set()).add(number)

    def book(self) -> PlaceBook:
        """To go on with in another workflow run. What is under way is made again there."""
        paths = {*self._free, *self._taken}
        free = {path: sorted(self._free.get(path, set()) | self._taken.get(path, set())) for path in paths}
        return PlaceBook(dict(self._next), {path: numbers for path, numbers in free.items() if numbers})
