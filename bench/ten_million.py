"""Ten million threads at a time, on paper: what breaks first, and what a day looks like where nothing does.

    python bench/ten_million.py               # the tables of docs/cost-model.md
    python bench/ten_million.py --write       # puts them and the plot there

A queueing simulation with a second for a step and a seed for its chance. Threads are started, work (a closed loop: who waits for
a worker asks for nothing meanwhile), wait for a person, are answered, work, end. In the simulated day: questions whose deadline
is 09:00, the answers of a morning, a zone that is lost at 14:00 and a deployment at 16:00 that empties every cache.

What it does not know: the network, garbage, hot keys, people who answer in a rush for a reason of their own. Capacities of
the server are divided by the load evenly; `spread` adds what chance puts on the fullest shard.
"""

import argparse
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from cost_model import LIST, billed, heartbeats, month
from cost_tables import DOCUMENT, support, table, written_with
from day_plot import plot

PLOT = Path(__file__).parent.parent / "docs" / "images" / "ten-million.svg"
HOUR = 3600

# -- what is reckoned with --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constant:
    value: float
    unit: str
    what: str
    source: str


HERE = "measured: bench/capacity.py"
CONSTANTS: Mapping[str, Constant] = {
    "step_cpu": Constant(0.012, "s", "processor time of a worker for a step", HERE),
    "replay_cpu": Constant(0.0055, "s", "to replay one call of a history", HERE),
    "replay_base": Constant(0.011, "s", "to replay a thread, besides", HERE),
    "cached_bytes": Constant(115e3, "B", "memory of a thread in a worker's cache", HERE),
    "step_updates": Constant(3, "", "database transactions of a step (`UpdateWorkflowExecution`)", HERE),
    "question_updates": Constant(
        8, "", "of a thread from its start to its first question, two calls included", HERE
    ),
    "beat_updates": Constant(1, "", "of a heartbeat", HERE),
    "thread_bytes": Constant(47e3, "B", "history of a thread that waits, half of its run", "cost_model.py"),
    "event_bytes": Constant(
        730, "B", "Redis memory of a token in mode `messages-tuple`", "measured: 30,000 of them"
    ),
    "worker_slots": Constant(100, "", "calls at a time in a worker process", "default"),
    "worker_cache": Constant(500, "", "threads in memory in a worker process", "default"),
    "shard_write": Constant(
        0.005, "s", "a transaction; a shard makes one after the other", "public: planetscale.com, 2022-12"
    ),
    "partition_rate": Constant(400, "/s", "tasks through a partition of a task queue", "assumed"),
    "database_rate": Constant(
        12_000, "/s", "transactions of one PostgreSQL primary (16 cores, local NVMe)", "assumed"
    ),
    "visibility_rate": Constant(2_000, "/s", "updates of visibility in that database", "assumed"),
    "unit_actions": Constant(
        500, "/s", "actions of a Cloud namespace for each resource unit", "public: docs.temporal.io, 2026-11"
    ),
    "redis_bytes": Constant(100e9, "B", "memory of one Redis", "assumed"),
}
C = {name: constant.value for name, constant in CONSTANTS.items()}


@dataclass(frozen=True)
class Agent:
    """The support agent of the cost model: 20 steps in three stretches, with a question after the first two."""

    stretches: int = 3
    steps: int = 7
    step_seconds: float = 4.25
    model_seconds: float = 8.0
    wait_hours: float = 18.0
    tokens: int = 3000
    deadline_share: float = 0.01


AGENT = Agent()


@dataclass(frozen=True)
class Plan:
    """What is set up. A cell is a server of its own with as many shards, partitions, and Cloud units (then: a namespace) as
    said; workers, databases (or what takes as much) and Redis are those of all cells."""

    threads: float = 1e7
    workers: int = 1
    shards: int = 512
    partitions: int = 4
    databases: int = 1
    visibilities: int = 1
    redis: int = 1
    redis_hours: float = 24.0
    heartbeat: float = 5.0
    units: int = 1
    cells: int = 1
    zones: int = 3
    deploy_minutes: float = 10.0


DEFAULTS = Plan(workers=3)
PLANNED = Plan(
    workers=800,
    shards=4096,
    partitions=16,
    databases=5,
    visibilities=5,
    redis=20,
    redis_hours=1.0,
    heartbeat=60.0,
    units=8,
    cells=5,
)

# -- one day ------------------------------------------------------------------------------------------------------------


def starts_per_second(plan: Plan, agent: Agent) -> float:
    """That many starts keep as many threads open: what comes in by what stays (Little)."""
    working = agent.stretches * agent.steps * agent.step_seconds
    return plan.threads / (working + (agent.stretches - 1) * agent.wait_hours * HOUR)


def daytime(second: int) -> float:
    """How much more than on average is started or answered: next to nothing at night, a peak in the morning. Its mean is 1."""
    hour = second / HOUR
    bump = 3.3 * math.exp(-(((hour - 9.6) / 1.3) ** 2)) + 2.4 * math.exp(-(((hour - 14.5) / 2.6) ** 2))
    return (0.08 + bump) / 0.835


@dataclass
class Second:
    """The state of things at a second; rates are per second, `delay` is what a step waits for a worker or a shard."""

    at: int
    active: float
    steps: float
    updates: float
    cpu: float
    delay: float
    visibility: float


@cache
def whole_day(plan: Plan, agent: Agent = AGENT) -> list[Second]:
    return list(day(plan, agent))


def day(plan: Plan, agent: Agent, *, seed: int = 7) -> Iterator[Second]:
    """Fluid threads, with the chance of Poisson numbers. `debt` is processor time that replays owe."""
    rng = random.Random(seed)
    mean = starts_per_second(plan, agent)
    waiting = mean * (agent.stretches - 1) * agent.wait_hours * HOUR
    due = waiting * agent.deadline_share
    active = mean * daytime(0) * agent.stretches * agent.steps * agent.step_seconds
    debt = backlog = delay = 0.0
    for second in range(24 * HOUR):
        shape = daytime(second)
        started = poisson(rng, mean * shape)
        answered = poisson(rng, waiting / (agent.wait_hours * HOUR) * shape)
        if second == 9 * HOUR:
            answered, due = answered + due, 0.0
        answered = min(answered, waiting)
        workers = plan.workers * (1 - 1 / plan.zones * (14 * HOUR <= second < 14.5 * HOUR))
        cold = answered
        if second == 14 * HOUR:
            cold += active / plan.zones
        begins, ends = 16 * HOUR, 16 * HOUR + 60 * plan.deploy_minutes
        if begins <= second < ends:
            cold += active / (ends - begins)
        replays = cold * (C["replay_base"] + C["replay_cpu"] * agent.steps * 1.5)
        debt += replays
        # The work of a second: steps that are due, and the replays that come before them.
        wanted = active / (agent.step_seconds + delay)
        # Every other step is a model's: its answer is a heartbeat, too.
        beats = wanted * 0.5 * (heartbeats(agent.model_seconds, limit=plan.heartbeat) + 1)
        asked = answered * 4 + started
        backlog = max(0.0, backlog + C["step_updates"] * wanted + beats + asked - capacity(plan))
        spare = max(0.0, workers - wanted * C["step_cpu"])
        debt = max(0.0, debt - spare)
        over = max(0.0, active - workers * C["worker_slots"]) / max(1.0, wanted)
        owed = debt / max(1.0, workers)
        delay = backlog / capacity(plan) + owed + over
        # A stretch ends with its last step; two of three end with a question.
        ended = min(active, wanted / agent.steps)
        asks = ended * (agent.stretches - 1) / agent.stretches
        active += started + answered - ended
        waiting += asks - answered
        yield Second(
            second,
            active,
            wanted,
            C["step_updates"] * wanted + beats + asked,
            wanted * C["step_cpu"] + replays,
            delay,
            2 * asks + 2 * answered + 2 * started,
        )


def capacity(plan: Plan) -> float:
    """Transactions a second: the database's, or what the shards let through at four fifths of the fullest one."""
    each = 1 / C["shard_write"]
    return min(plan.databases * C["database_rate"], 0.8 * plan.shards * plan.cells * each / spread(plan))


def spread(plan: Plan, *, sigmas: float = 4.0) -> float:
    """How much more than the mean the fullest shard has to do, by chance alone: of as many threads as are active on it."""
    mean = starts_per_second(plan, AGENT) * AGENT.stretches * AGENT.steps * AGENT.step_seconds
    mean /= plan.shards * plan.cells
    return 1 + sigmas / math.sqrt(max(mean, 1.0))


def poisson(rng: random.Random, mean: float) -> float:
    return max(0.0, rng.gauss(mean, math.sqrt(mean)))


# -- what breaks first ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peak:
    steps: float
    active: float
    updates: float
    cpu: float
    visibility: float


def peak(plan: Plan, agent: Agent = AGENT) -> Peak:
    """The busiest second of the day, but for its accidents."""
    seconds = whole_day(plan, agent)
    calm = [s for s in seconds if 9 * HOUR + 600 < s.at < 14 * HOUR]
    return Peak(
        max(s.steps for s in calm),
        max(s.active for s in calm),
        max(s.updates for s in calm),
        max(s.cpu for s in calm),
        max(s.visibility for s in calm),
    )


def demands(plan: Plan, agent: Agent = AGENT) -> dict[str, tuple[float, float, str]]:
    """Of each resource what is asked of it at the peak, what it gives, and the setting; were nothing else short."""
    free = replace(plan, workers=10**7, shards=10**7, databases=10**4)
    top = peak(free, agent)
    mean = starts_per_second(plan, agent)
    actions = billed(support(limit=plan.heartbeat).work)
    # What is kept is that of the busiest hours; over a day it evens out.
    streamed = (
        mean
        * (2.2 if plan.redis_hours < 6 else 1.0)
        * agent.tokens
        * C["event_bytes"]
        * plan.redis_hours
        * HOUR
    )
    each = 0.8 / C["shard_write"] / spread(plan)
    return {
        "worker processes: slots": (
            top.active,
            plan.workers * C["worker_slots"],
            "`--max-activities`, workers",
        ),
        "worker processes: CPU": (top.cpu, plan.workers, "workers, one core each"),
        "task queue partitions": (
            2 * top.steps,
            plan.partitions * plan.cells * C["partition_rate"],
            "`matching.numTaskqueueReadPartitions`, `…Write…`",
        ),
        "database": (top.updates, plan.databases * C["database_rate"], "primaries, cells; heartbeat limit"),
        "history shards": (top.updates, plan.shards * plan.cells * each, "`numHistoryShards`, for ever"),
        "visibility": (
            top.visibility,
            plan.visibilities * C["visibility_rate"],
            "Elasticsearch, or a database of its own per cell",
        ),
        "Redis, if all of it is streamed": (
            streamed,
            plan.redis * C["redis_bytes"],
            "`keep_seconds`, `keep_events`; a Redis per cell",
        ),
        "Cloud: actions per second": (
            mean * actions * top.steps / (mean * agent.stretches * agent.steps),
            plan.cells * plan.units * C["unit_actions"],
            "provisioned capacity, namespaces; heartbeat limit",
        ),
    }


def breaks_at(plan: Plan) -> dict[str, float]:
    """Threads at which each resource is used up; demand grows with the threads."""
    return {name: plan.threads * given / asked for name, (asked, given, _) in demands(plan).items()}


# -- tables and plot --------------------------------------------------------------------------------------------------------


def constant_table() -> str:
    rows = [[f"{c.value:,g} {c.unit}".strip(), c.what, c.source] for c in CONSTANTS.values()]
    return table(["value", "of what", "source"], rows)


def break_table() -> str:
    asked = demands(PLANNED)
    first = breaks_at(DEFAULTS)
    rows = [
        [
            name,
            f"{rounded(first[name])}",
            f"{asked[name][0] / asked[name][1]:.0%}",
            asked[name][2],
        ]
        for name in sorted(first, key=lambda name: first[name])
    ]
    heads = ["what breaks", "with the defaults, at so many threads", "used in the plan for 10 M", "setting"]
    return table(heads, rows)


EPISODES = (
    ("09:00, 1 % of all questions are due at once", 9 * HOUR, 9 * HOUR + 600),
    ("busiest hour of the morning", 9 * HOUR + 600, 11 * HOUR),
    ("14:00, a zone with a third of the workers is lost", 14 * HOUR, 14 * HOUR + 1800),
    ("16:00, a deployment, in 10 minutes", 16 * HOUR, 16 * HOUR + 1200),
)


def day_table() -> str:
    rows = []
    for what, begins, ends in EPISODES:
        cells = [what]
        for plan in (PLANNED, replace(PLANNED, workers=400), replace(PLANNED, heartbeat=5.0)):
            told = [s for s in whole_day(plan) if begins <= s.at < ends]
            longest = max(s.delay for s in told)
            over = sum(s.delay > 1 for s in told)
            lost = f"; calls that ran there: {plan.heartbeat:g} s" if begins == 14 * HOUR else ""
            cells.append(f"{longest:.1f} s" + (f", over 1 s for {over} s" if over else "") + lost)
        rows.append(cells)
    heads = ["longest delay of a step", "the plan", "with 400 workers", "heartbeat limit 5 s"]
    return table(heads, rows)


def size_table() -> str:
    plan, agent = PLANNED, AGENT
    mean = starts_per_second(plan, agent)
    top = peak(plan)
    runs = mean * HOUR * 730
    rows = [
        ["threads that are open · that work at the peak", f"{plan.threads:,.0f} · {top.active:,.0f}"],
        ["runs started, on average", f"{mean:,.0f}/s, {runs / 1e6:,.0f} M a month"],
        ["steps, on average · at the peak", f"{mean * 21:,.0f}/s · {top.steps:,.0f}/s"],
        ["history of open threads", f"{plan.threads * C['thread_bytes'] / 1e9:,.0f} GB"],
        ["visibility rows, open", f"{plan.threads:,.0f}"],
        [
            "memory of the workers' caches",
            f"{plan.workers * C['worker_cache'] * C['cached_bytes'] / 1e9:,.0f} GB",
        ],
    ]
    for limit in (5.0, 60.0):
        example = support(limit=limit)
        bill = month(
            runs,
            actions=billed(example.work),
            size=C["thread_bytes"],
            open_hours=2 * agent.wait_hours,
            retention_days=7,
            prices=LIST,
        )
        what = f"Cloud, a month, at the price of the last listed tier, heartbeat limit {limit:g} s"
        rows.append([what, f"${bill.total / 1e6:.2f} M, of it actions ${bill.actions / 1e6:.2f} M"])
    rows.append(["10 model calls a run at $0.005", f"${runs * 10 * 0.005 / 1e6:.1f} M a month"])
    return table(["10 M threads", ""], rows)


def rounded(value: float) -> str:
    digits = 10 ** (math.floor(math.log10(value)) - 1)
    return f"{round(value / digits) * digits:,.0f}"


TABLES: Mapping[str, Callable[[], str]] = {
    "constants": constant_table,
    "sizes": size_table,
    "breaks": break_table,
    "day": day_table,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Ten million threads at a time, on paper.")
    parser.add_argument("--write", action="store_true", help="put the tables and the plot into the document")
    if parser.parse_args().write:
        DOCUMENT.write_text(written_with(DOCUMENT.read_text(), TABLES))
        few = replace(PLANNED, workers=400)
        PLOT.write_text(plot({f"{plan.workers} workers": whole_day(plan) for plan in (PLANNED, few)}))
        return
    sys.stdout.write("\n\n".join(f"{name}\n{made()}" for name, made in TABLES.items()) + "\n")


if __name__ == "__main__":
    main()
