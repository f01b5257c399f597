"""The scenarios: what each contestant is asked to do, in the size of the issue and in a small one for the gate.

A scenario with contestants runs one process per contestant and round. A scenario of rows alone is a module of bench/ with
`measure(options) -> {"rows": [...], "more": {...}}`, which measures what has no counterpart elsewhere (or brings its own).
"""

from dataclasses import dataclass

TEMPORAL = ("bare", "perdure", "temporalio-langgraph", "langgraph-temporal")
CONTESTANTS = (*TEMPORAL, "langgraph-sqlite", "langgraph-postgres", "langgraph-dev", "dbos")
# Those that need a database of their own.
POSTGRES = ("langgraph-postgres", "dbos")
FLOOR, OURS = "bare", "perdure"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`rounds`: how many of the full run, of which none begins after `budget` seconds; `peer_rounds`: in how many of them all
    others than the floor and Perdure take part. `quick`: parameters of the small run. `limit`: seconds for one measurement of
    the floor; the others have twelve times what it took."""

    name: str
    title: str
    parameters: dict[str, int]
    quick: dict[str, int]
    contestants: tuple[str, ...] = CONTESTANTS
    rounds: int = 3
    budget: int = 150
    peer_rounds: int = 1
    quick_rounds: int = 5
    limit: int = 300


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A scenario of rows alone: the module of bench/ that measures it. `quick`: also in the gate."""

    name: str
    title: str
    quick: bool = False
    limit: int = 300


SCENARIOS = (
    Scenario(
        name="steps",
        title="one agent, 200 steps, 2 KB more of messages in each",
        parameters={"steps": 200, "bytes": 2048},
        quick={"steps": 60, "bytes": 2048},
    ),
    Scenario(
        name="agents",
        title="100 agents at a time, 10 steps each",
        parameters={"agents": 100, "steps": 10, "bytes": 256},
        quick={"agents": 20, "steps": 10, "bytes": 256},
        budget=240,
        quick_rounds=3,
    ),
    Scenario(
        name="branches",
        title="one fan-out to 200 branches, joined",
        parameters={"branches": 200, "bytes": 256},
        quick={"branches": 100, "bytes": 256},
        quick_rounds=3,
        budget=60,
    ),
)

ROWS = (
    Rows(name="long_run", title="one agent, 10,000 steps, 50 messages kept", limit=900),
    Rows(name="waiting", title="2,000 threads that wait for an approval"),
    Rows(name="kill", title="kill -9 of the worker in the middle of a long run"),
    Rows(name="peers_kill", title="the same of the peers, resumed as each asks for it", limit=900),
    Rows(name="cold_start", title="cold start", quick=True),
    Rows(name="payloads", title="message lists to bytes and back"),
)
