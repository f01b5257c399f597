"""Measures the peers' recovery: an agent's process is killed with SIGKILL, and another one started at once.

    python bench/peers_kill.py [--quick]

The counterpart of kill.py for what does not run on Temporal: one agent of 1,000 steps of 256 bytes, killed at step 500 and twice
more. What counts is the time from when the new process is ready until its next node call (contestants/killing.py). What a user
has to do for that is part of the answer:

| contestant         | after a kill                                                                                |
|--------------------|---------------------------------------------------------------------------------------------|
| langgraph-sqlite   | somebody must know that the thread was unfinished, and call `ainvoke(None, config)` again     |
| langgraph-postgres | the same                                                                                    |
| dbos               | nothing: `DBOS.launch()` in a process of the same executor id and code goes on with it        |
"""

import argparse
import json
import sys
from typing import Any

from suite.contestant import measure as measured
from suite.postgres import postgres

CONTESTANTS = ("langgraph-sqlite", "langgraph-postgres", "dbos")
FULL = {"steps": 1000, "kill_at": 500, "bytes": 256}
SECONDS = 240.0
QUICK = {"steps": 400, "kill_at": 100, "bytes": 256}


def measure(options: dict[str, Any]) -> dict[str, Any]:
    """A row `next step, CONTESTANT` each, in seconds; `note` is the error of one that did not go on."""
    parameters = QUICK if options.get("quick") else FULL
    rows: list[dict[str, Any]] = []
    with postgres() as database:
        dsn = database[0] if database else None
        for name in CONTESTANTS:
            services = {"temporal": None, "postgres": dsn}
            found = measured("kill", name, parameters, services=services, seconds=SECONDS)
            row = {"name": f"next step, {name}", "unit": "s"}
            if found["ok"]:
                rows.append(row | found["more"] | {"value": found["wall_seconds"]})
            else:
                rows.append(row | {"value": None, "note": f"failed: {found['error']}"})
    return {"rows": rows, "more": {}}


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill the peers in the middle of an agent.")
    parser.add_argument("--quick", action="store_true", help="400 steps, killed from step 100 on")
    options = parser.parse_args()
    sys.stdout.write(json.dumps(measure({"quick": options.quick}), indent=2) + "\n")


if __name__ == "__main__":
    main()
