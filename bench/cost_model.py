"""What a run costs Temporal: history events, bytes and billable actions, counted from what the run does.

A workload says how often a run does what (`{"thread": 1, "node call": 20}`); `UNITS` says what each of these is in events and
actions. `tests/workflows/test_cost_model.py` runs workloads on a real server and compares: events by type and actions by
type exactly (the server counts these itself), bytes within 10 %.

Not in here: what a model or a tool costs; traffic; the storage of payloads over 256 KiB (`PERDURE_PAYLOADS`).
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

# -- events and actions ---------------------------------------------------------------------------------------------------

TASK = ("WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_COMPLETED")
_ACTIVITY = {"ACTIVITY_TASK_SCHEDULED": 1, "ACTIVITY_TASK_STARTED": 1, "ACTIVITY_TASK_COMPLETED": 1}
_TIMER = {"TIMER_STARTED": 1, "TIMER_CANCELED": 1}
_UPDATE = {"WORKFLOW_EXECUTION_UPDATE_ACCEPTED": 1, "WORKFLOW_EXECUTION_UPDATE_COMPLETED": 1}
_STATUS = {"UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": 1}
_MEMO = {"WORKFLOW_PROPERTIES_MODIFIED": 1}


@dataclass(frozen=True)
class Unit:
    """`tasks` are workflow tasks, three events each: the least and the most, where it depends on what ends at the same time.
    `actions` are under the names of Temporal Cloud's metric."""

    what: str
    events: Mapping[str, int] = field(default_factory=dict)
    tasks: tuple[int, int] = (0, 0)
    actions: Mapping[str, int] = field(default_factory=dict)


UNITS: Mapping[str, Unit] = {
    "thread": Unit(
        "a thread that ends with its run",
        {"WORKFLOW_EXECUTION_STARTED": 1, "WORKFLOW_EXECUTION_COMPLETED": 1},
        (1, 1),
        {"start_workflow": 1},
    ),
    "node call": Unit("a call of a node, in a subgraph too", _ACTIVITY, (1, 1), {"schedule_activity": 1}),
    "branch": Unit(
        "each further call of the same step (`Send`, parallel edges)",
        _ACTIVITY,
        (0, 1),
        {"schedule_activity": 1},
    ),
    "retry": Unit(
        "a further attempt of any call", actions={"retry_activity": 1, "record_activity_heartbeat": 1}
    ),
    "heartbeat": Unit(
        "each quarter of the heartbeat limit (5 s: 1.25 s) that a call lasts",
        actions={"record_activity_heartbeat": 1},
    ),
    "model answer": Unit("an answer of a model, recorded", actions={"record_activity_heartbeat": 1}),
    "token": Unit("a token, a custom event, an item of a stream"),
    "task": Unit(
        "a `@task` or `@effect`, called alone",
        {**_ACTIVITY, "WORKFLOW_EXECUTION_SIGNALED": 1},
        (2, 2),
        {"schedule_activity": 1, "signal_workflow": 1},
    ),
    "joined task": Unit(
        "each further `@task` called at the same time", _ACTIVITY, (0, 1), {"schedule_activity": 1}
    ),
    "undo": Unit("an effect taken back", _ACTIVITY, (1, 1), {"schedule_activity": 1}),
    "question": Unit(
        "a question answered by a person within its deadline; the node is called again",
        {**_ACTIVITY, **_TIMER, **_UPDATE, "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": 2},
        (2, 2),
        {
            "schedule_activity": 1,
            "start_timer": 1,
            "accept_workflow_update": 1,
            "upsert_workflow_search_attributes": 2,
        },
    ),
    "deadline": Unit("a deadline of the run", _TIMER, actions={"start_timer": 1}),
    "query": Unit(
        "the state, read once: by a client, a person's list of questions, a server",
        actions={"query_workflow": 1},
    ),
    "carry": Unit(
        "continuing as new",
        {"WORKFLOW_EXECUTION_CONTINUED_AS_NEW": 1, "WORKFLOW_EXECUTION_STARTED": 1},
        (1, 1),
        {"continue_as_new_workflow": 1},
    ),
    "served thread": Unit(
        "a thread of the HTTP server, made by its first run",
        {"WORKFLOW_EXECUTION_STARTED": 1, **_MEMO, **_STATUS},
        (0, 1),
        {"start_workflow": 1, "upsert_workflow_search_attributes": 1, "modify_workflow_properties": 1},
    ),
    "served run": Unit(
        "a run on it",
        {**_UPDATE, **_MEMO, "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": 2},
        (1, 1),
        {
            "accept_workflow_update": 1,
            "upsert_workflow_search_attributes": 2,
            "modify_workflow_properties": 1,
        },
    ),
    "awaited result": Unit(
        "`runs/wait`, `join`: each that waits for a served run",
        _UPDATE,
        (0, 1),
        {"accept_workflow_update": 1},
    ),
    "webhook": Unit(
        "a webhook of a served run: 3 to 4 events in the thread, 11 in a workflow of its own",
        {
            "START_CHILD_WORKFLOW_EXECUTION_INITIATED": 1,
            "CHILD_WORKFLOW_EXECUTION_STARTED": 1,
            "CHILD_WORKFLOW_EXECUTION_COMPLETED": 1,
            "WORKFLOW_EXECUTION_STARTED": 1,
            "WORKFLOW_EXECUTION_COMPLETED": 1,
            **_ACTIVITY,
        },
        (2, 4),
        {"start_child_workflow": 2, "schedule_activity": 1},
    ),
    "cron firing": Unit(
        "a cron's time has come; its run and the thread of that come on top",
        {
            "WORKFLOW_EXECUTION_STARTED": 1,
            "START_CHILD_WORKFLOW_EXECUTION_INITIATED": 1,
            "CHILD_WORKFLOW_EXECUTION_STARTED": 1,
            "WORKFLOW_EXECUTION_COMPLETED": 1,
        },
        (2, 2),
        {"schedule_workflow": 3, "start_child_workflow": 1},
    ),
}

# The server of open source counts them as actions, the page of Temporal Cloud does not name them.
UNNAMED = frozenset({"modify_workflow_properties"})

Workload = Mapping[str, float]


def events(work: Workload, *, apart: bool = False) -> Counter[str]:
    """History events by type. `apart`: each of several calls that run at the same time ends in a workflow task of its own."""
    found: Counter[str] = Counter()
    for name, times in work.items():
        unit = UNITS[name]
        found.update({event: round(count * times) for event, count in unit.events.items()})
        found.update({event: round(unit.tasks[apart] * times) for event in TASK})
    return +found


def actions(work: Workload) -> Counter[str]:
    """Actions by the names of Temporal Cloud's metric, `UNNAMED` ones included."""
    found: Counter[str] = Counter()
    for name, times in work.items():
        found.update({action: round(count * times) for action, count in UNITS[name].actions.items()})
    return +found


def billed(work: Workload) -> int:
    """Actions that Temporal Cloud's page names."""
    return sum(count for action, count in actions(work).items() if action not in UNNAMED)


def heartbeats(seconds: float, *, limit: float = 5.0) -> int:
    """Of one attempt that lasts so long; `limit` as in `durable(heartbeat=...)`, seconds."""
    return max(0, math.ceil(seconds / (limit / 4)) - 1)


def carries(calls: int, *, every: int = 175) -> int:
    """How often a run continues as new."""
    return max(0, math.ceil(calls / every) - 1)


# -- bytes ----------------------------------------------------------------------------------------------------------------

# With the JSON that Perdure writes around what is yours, names of some ten characters and an identity of `_IDENTITY`.
EVENT_BYTES: Mapping[str, int] = {
    "WORKFLOW_EXECUTION_STARTED": 960,
    "WORKFLOW_EXECUTION_COMPLETED": 80,
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW": 960,
    "WORKFLOW_TASK_SCHEDULED": 100,
    "WORKFLOW_TASK_STARTED": 113,
    "WORKFLOW_TASK_COMPLETED": 79,
    "ACTIVITY_TASK_SCHEDULED": 360,
    "ACTIVITY_TASK_STARTED": 113,
    "ACTIVITY_TASK_COMPLETED": 85,
    "WORKFLOW_EXECUTION_SIGNALED": 590,
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": 231,
    "WORKFLOW_PROPERTIES_MODIFIED": 200,
    "TIMER_STARTED": 102,
    "TIMER_CANCELED": 109,
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED": 265,
    "WORKFLOW_EXECUTION_UPDATE_COMPLETED": 145,
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED": 900,
    "CHILD_WORKFLOW_EXECUTION_STARTED": 200,
    "CHILD_WORKFLOW_EXECUTION_COMPLETED": 200,
}
_IDENTITY = 8
_IDENTIFIED = (
    *TASK,
    "WORKFLOW_EXECUTION_STARTED",
    "ACTIVITY_TASK_STARTED",
    "ACTIVITY_TASK_COMPLETED",
)
EXTERNAL = 256 * 1024
"""A payload of this size and more is kept elsewhere; the history has a reference of `REFERENCE` bytes."""
REFERENCE = 250
CHECKPOINT_BYTES = 865
"""Of a checkpoint that the thread carries along, beside twice what its step wrote: the values, and the writes of its tasks."""
WINDOW = 50
"""Checkpoints that a thread keeps; one of the HTTP server keeps 100."""
TASK_EXTRA_BYTES = 200
"""A `@task`'s or effect's call names more than a node's."""
UNDO_EXTRA_BYTES = 100
FAILURE_BYTES = 2900
"""The last error of a call that was tried again, with its stack."""


def bytes_(
    work: Workload,
    *,
    output: float = 0,
    news: float = 0,
    input: float = 0,
    result: float = 0,
    state: float = 0,
    kept: float = WINDOW,
    retried: float = 0,
    identity: int = _IDENTITY,
    external: bool = True,
) -> int:
    """Bytes of all histories of the run.

    Args:
        output: JSON bytes that a node call returns, on average.
        news: bytes of the preview of what is new to a call: at most 120 characters for each field of the state.
        input, result: JSON bytes of the run's input and of its final values.
        state: JSON bytes of the state when the run continues as new, on average.
        kept: how many checkpoints the thread has then.
        retried: how many calls had more than one attempt.
        identity: characters of the worker's identity (`pid@host`).
        external: whether `PERDURE_PAYLOADS` is set.
    """
    found = events(work)
    size: float = sum(EVENT_BYTES[event] * count for event, count in found.items())
    size += (identity - _IDENTITY) * sum(found[event] for event in _IDENTIFIED)
    calls = work.get("node call", 0) + work.get("branch", 0)
    size += calls * (_kept(output, external=external) + news)
    size += _kept(input, external=external) + _kept(result, external=external)
    size += TASK_EXTRA_BYTES * (work.get("task", 0) + 3 * work.get("joined task", 0))
    size += UNDO_EXTRA_BYTES * work.get("undo", 0) + FAILURE_BYTES * retried
    # In the event that ends the one history, and in the event that begins the next.
    carried = _kept(state + kept * (CHECKPOINT_BYTES + 2 * output), external=external)
    return round(size + 2 * carried * work.get("carry", 0))


def _kept(size: float, *, external: bool) -> float:
    return REFERENCE if external and size >= EXTERNAL else size


# -- money ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prices:
    """US dollars, as Temporal Cloud's page on pricing lists them for pay-as-you-go on the Business plan. `tiers`: up to how many
    million actions a month, and the price of a million. Beyond the last tier the price is negotiated; its price is kept."""

    seen: str = "2026-11"
    tiers: tuple[tuple[float, float], ...] = (
        (5, 50.0),
        (10, 45.0),
        (20, 40.0),
        (50, 35.0),
        (100, 30.0),
        (math.inf, 25.0),
    )
    active_gb_hour: float = 0.042
    retained_gb_hour: float = 0.00105
    least_plan: float = 500.0
    plan_share: float = 0.10


LIST = Prices()
HOURS = 730.0
GB = 1e9


@dataclass(frozen=True)
class Bill:
    """A month, US dollars."""

    actions: float
    active: float
    retained: float
    plan: float

    @property
    def total(self) -> float:
        return self.actions + self.active + self.retained + self.plan


def month(
    runs: float,
    *,
    actions: float,
    size: float,
    open_hours: float,
    retention_days: float,
    prices: Prices = LIST,
) -> Bill:
    """`actions` and `size` (bytes) are those of one run; it is open for `open_hours`, and then kept for the retention.

    The plan's included allowances are left out: they are a few dollars. A replica (high availability) doubles all but the plan.
    """
    millions = runs * actions / 1e6
    spent, below = 0.0, 0.0
    for most, price in prices.tiers:
        spent += max(0.0, min(millions, most) - below) * price
        below = most
    stored = runs * size / GB
    active = stored * open_hours * prices.active_gb_hour
    retained = stored * retention_days * 24 * prices.retained_gb_hour
    plan = max(prices.least_plan, prices.plan_share * (spent + active + retained))
    return Bill(spent, active, retained, plan)
