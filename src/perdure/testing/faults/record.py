"""What happened in a run, as the worker saw it: places in their order, and what was done under which key.

Side: testing. Written where the activities run, so it knows of bodies that ran though their answer was lost. Not
guaranteed: that a body which was begun did anything; for the world outside, ask the world (an oracle).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Event", "Record", "Stage"]

Stage = Literal["begun", "done", "raised"]


@dataclass(frozen=True)
class Event:
    """One attempt's body: it begins, and it returns or raises. `key` is an effect's or an undo's."""

    place: str
    stage: Stage
    key: str = ""
    name: str = ""
    in_doubt: bool = False
    undoable: bool = False

    @property
    def kind(self) -> str:
        return self.place.partition(":")[0]


@dataclass
class Record:
    """Of one run. `places` are in the order in which they were reached first."""

    places: list[str] = field(default_factory=list[str])
    events: list[Event] = field(default_factory=list[Event])

    def reach(self, place: str) -> None:
        if place not in self.places:
            self.places.append(place)

    def note(self, event: Event) -> None:
        self.events.append(event)

    def after(self, place: str) -> list[str]:
        """The places that come later, and that one itself."""
        return self.places[self.places.index(place) :] if place in self.places else []

    @property
    def performed(self) -> int:
        """How many effects were done; nodes and tasks, where there are no effects at all."""
        effects = {event.key for event in self.of("effect")}
        if effects:
            return len({event.key for event in self.of("effect") if event.stage == "done"})
        return sum(event.stage == "done" for event in self.events)

    @property
    def repeated(self) -> int:
        """How many effects' bodies were begun again under their key, in doubt."""
        begun = Counter(event.key for event in self.of("effect") if event.stage == "begun")
        return sum(count - 1 for count in begun.values())

    @property
    def names(self) -> dict[str, str]:
        """The effects' names by key."""
        return {event.key: event.name for event in self.of("effect")}

    @property
    def standing(self) -> dict[str, Event]:
        """By key, the effects that may have happened and were not undone after that."""
        standing: dict[str, Event] = {}
        for event in self.events:
            if event.kind == "effect":
                known = standing.get(event.key)
                standing[event.key] = event if known is None or known.stage != "done" else known
            elif event.kind == "undo" and event.stage == "done":
                standing.pop(event.key, None)
        return standing

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]
