"""The worked examples and the tables of docs/cost-model.md.

python bench/cost_tables.py            # prints them
python bench/cost_tables.py --write    # puts them into the document
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cost_model import (
    EVENT_BYTES,
    UNITS,
    UNNAMED,
    Workload,
    actions,
    billed,
    bytes_,
    carries,
    events,
    heartbeats,
    month,
)

DOCUMENT = Path(__file__).parent.parent / "docs" / "cost-model.md"

# -- worked examples --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    what: str
    work: Workload
    bytes: int
    open_hours: float


def support(*, limit: float = 5.0) -> Example:
    """20 steps: 10 of a model (8 s, an answer each), 10 of tools (0.5 s); two of these are effects that a person approves."""
    work = {
        "thread": 1,
        "node call": 20,
        "heartbeat": 10 * heartbeats(8.0, limit=limit) + 10 * heartbeats(0.5, limit=limit),
        "model answer": 10,
        "task": 2,
        "question": 2,
        "query": 2,
        "token": 3000,
    }
    size = bytes_(work, output=1500, news=120, input=500, result=30_000, identity=30)
    return Example(f"support agent, 20 steps, 2 approvals, heartbeat limit {limit:g} s", work, size, 4.0)


def long() -> Example:
    """10,000 steps of half a second that add 2 KB each to a state that keeps 50 messages."""
    work = {"thread": 1, "node call": 10_000, "carry": carries(10_000)}
    size = bytes_(work, output=2048, news=120, state=100_000, result=100_000, identity=30)
    return Example("agent of 10,000 steps, no model", work, size, 2.0)


def wide() -> Example:
    """One step plans, 200 branches work for a second and return 500 bytes, one step joins them."""
    work = {"thread": 1, "node call": 3, "branch": 199}
    size = bytes_(work, output=500, news=40, result=100_000, identity=30)
    return Example("fan-out to 200 branches of 1 s", work, size, 0.1)


EXAMPLES = (support(), support(limit=60.0), long(), wide())


# -- the document's tables --------------------------------------------------------------------------------------------------


def unit_table() -> str:
    rows = []
    for name, unit in UNITS.items():
        least, most = (sum(unit.events.values()) + 3 * count for count in unit.tasks)
        named = sum(count for action, count in unit.actions.items() if action not in UNNAMED)
        extra = sum(unit.actions.values()) - named
        told = ", ".join(
            f"{count} × `{action}`" if count > 1 else f"`{action}`" for action, count in unit.actions.items()
        )
        span = f"{least}" if least == most else f"{least} to {most}"
        rows.append([name, unit.what, span, f"{named} (+{extra})" if extra else f"{named}", told or "-"])
    return table(["unit", "what it is", "events", "actions", "which"], rows)


def byte_table() -> str:
    rows = [[f"`{event}`", f"{size}"] for event, size in EVENT_BYTES.items()]
    return table(["event", "bytes"], rows)


def example_table() -> str:
    rows = []
    for example in EXAMPLES:
        least, most = (sum(events(example.work, apart=apart).values()) for apart in (False, True))
        span = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        named = billed(example.work)
        beats = actions(example.work)["record_activity_heartbeat"]
        rows.append([example.what, span, f"{example.bytes / 1000:,.0f} kB", f"{named:,}", f"{beats:,}"])
    return table(["run", "events", "history", "actions", "of them heartbeats"], rows)


def bill_table(runs: float = 1e6, retention_days: float = 30) -> str:
    rows = []
    for example in EXAMPLES:
        bill = month(
            runs,
            actions=billed(example.work),
            size=example.bytes,
            open_hours=example.open_hours,
            retention_days=retention_days,
        )
        told = [bill.actions, bill.active, bill.retained, bill.plan, bill.total]
        millions = runs * billed(example.work) / 1e6
        rows.append([example.what, f"{millions:,.0f} M", *(f"${money:,.0f}" for money in told)])
    heads = ["1 M runs a month", "actions", "for actions", "active", "retained", "plan", "total"]
    return table(heads, rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "units": unit_table,
    "bytes": byte_table,
    "examples": example_table,
    "bills": bill_table,
}


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(text: str) -> str:
    """The document with its tables as they are now."""
    return written_with(text, TABLES)


def written_with(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    for name, table in tables.items():
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(begin)
        if not found:
            raise ValueError(
                f"the document has no table {name!r}: put {begin!r} and {end!r} where it belongs"
            )
        text = before + begin + table() + "\n" + end + rest.partition(end)[2]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description="The tables of docs/cost-model.md.")
    parser.add_argument("--write", action="store_true", help="put them into the document")
    if parser.parse_args().write:
        DOCUMENT.write_text(written(DOCUMENT.read_text()))
        return
    sys.stdout.write("\n\n".join(f"{name}\n{table()}" for name, table in TABLES.items()) + "\n")


if __name__ == "__main__":
    main()
