"""A record in a file, which several processes write one after the other.

Side: testing; between `processes` and `victim`. Each line is on its way before what it tells of goes on, so a process that
dies takes none with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from perdure.testing.faults.plan import Fault
from perdure.testing.faults.record import Event, Record

__all__ = ["READY", "Notes"]

READY = "ready"
"""What a worker process says on its standard output once it polls."""


class Notes(Record):
    """A record that is also in a file; `read` gives what several processes wrote there."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def reach(self, place: str) -> None:
        super().reach(place)
        self._write({"place": place})

    def note(self, event: Event) -> None:
        super().note(event)
        self._write({"event": asdict(event)})

    def struck(self, fault: Fault) -> None:
        """Note a fault that comes now."""
        self._write({"struck": str(fault)})

    def read(self) -> tuple[Record, list[str]]:
        """All that is in the file: the record, and the faults that came."""
        record, struck = Record(), list[str]()
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            match json.loads(line):
                case {"place": str(place)}:
                    record.reach(place)
                case {"event": dict(event)}:
                    record.note(Event(**event))
                case {"struck": str(fault)}:
                    struck.append(fault)
                case _:
                    pass
        return record, struck

    def _write(self, line: object) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
