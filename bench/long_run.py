"""Measures what a step costs as a run grows longer: time, history, recovery, memory.

    python bench/long_run.py [--steps 1000] [--bytes 2048] [--long 10000] [--json results.json]

A real dev server with a database on disk, one worker in this process with its default settings (workflows cached), and a
worker in a fresh process for the recovery. The graph is one node that adds one message per step and calls itself.

| target  | what is measured                                                                                  | limit |
|---------|---------------------------------------------------------------------------------------------------|-------|
| time    | mean step, steps 900 to 1,000 against 50 to 150 of one run                                        | 1.2   |
| history | bytes of all its histories per step, against 1.3 × new content + 2 KB                             | 1.0   |
| replay  | seconds until a fresh worker has replayed the longest carried-over history, against 2 s           | 1.0   |
| long    | mean of the last 100 steps of a long run against steps 50 to 150                                  | 1.2   |
| memory  | growth of the worker per step in its second half, beyond the messages themselves, against 1 KB    | 1.0   |

On a busy machine times mean little: processor time, which is told beside them, suffers less, and `machine_ratio` tells how
much slower the machine itself was at the end of a run than at its beginning (a fixed piece of work, timed at each step).
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import psutil
from chains import Chain, chain
from langchain_core.messages import AIMessage, AnyMessage, RemoveMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from servers import dev_server
from temporalio.client import Client
from temporalio.worker import Worker
from text import text
from typing_extensions import TypedDict

from perdure.client.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.devserver import DevServer
from perdure.worker.plugin import PerdurePlugin

QUEUE = "bench"
WINDOW = 100
REPLAY_SECONDS = 2.0


class State(TypedDict):
    """`bytes` is the size of each message; `keep`, where it is not 0, how many of them the state keeps."""

    messages: Annotated[list[AnyMessage], add_messages]
    step: int
    steps: int
    bytes: int
    keep: int


class Result(TypedDict):
    step: int


@dataclass
class Clock:
    """When the node was called, once per step."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    yardstick: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    process: psutil.Process = field(default_factory=psutil.Process)

    def tick(self) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())
        start = time.thread_time()
        sum(range(10_000))
        self.yardstick.append(time.thread_time() - start)
        if len(self.wall) % WINDOW == 1:
            self.memory.append(self.process.memory_info().rss)

    def mean_ms(self, first: int, last: int) -> tuple[float, float]:
        """Milliseconds per step between two steps, on the clock and of the processor."""
        steps = last - first
        wall, cpu = (1000 * (clock[last] - clock[first]) / steps for clock in (self.wall, self.cpu))
        return wall, cpu


def build_graph(clock: Clock | None = None) -> Any:
    """A node that adds a message, and takes the oldest one away when there are `keep`."""

    async def work(state: State) -> dict[str, Any]:
        if clock is not None:
            clock.tick()
        step = state["step"] + 1
        messages: list[Any] = [AIMessage(text(step, state["bytes"]))]
        if state["keep"] and len(state["messages"]) >= state["keep"]:
            messages.append(RemoveMessage(id=state["messages"][0].id))
        return {"messages": messages, "step": step}

    builder = StateGraph(State, output_schema=Result)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", lambda state: "work" if state["step"] < state["steps"] else END)
    return builder.compile()


async def run(server: DevServer, payloads: str, thread: str, state: dict[str, Any]) -> tuple[Clock, Chain]:
    """Run the graph to its end with a worker of its own."""
    clock = Clock()
    client = await connect(server.address, payloads, clock)
    perdure = PerdureClient(client, task_queue=QUEUE)
    async with Worker(client, task_queue=QUEUE):
        config = {"recursion_limit": state["steps"] + 10}
        handle = await perdure.start("bench", state, thread_id=thread, config=config)
        result = await handle.result()
    assert result == {"step": state["steps"]}, "the run did not end as the graph says"
    return clock, await chain(client, thread)


async def connect(address: str, payloads: str, clock: Clock | None = None) -> Client:
    plugin = PerdurePlugin({"bench": build_graph(clock)}, payloads=payloads)
    return await connect_temporal(address, plugins=[plugin])


async def replay_seconds(server: DevServer, payloads: str, found: Chain) -> dict[str, float]:
    """The longest that a fresh worker takes to answer for a carried-over run."""
    slowest = {"seconds": 0.0}
    for run_id, events in list(zip(found.runs, found.events, strict=True))[1:]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--replay", server.address, payloads, found.thread, run_id, stdout=-1
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, f"the replaying process ended with {process.returncode}"
        seconds, cpu = map(float, out.split())
        if seconds > slowest["seconds"]:
            slowest = {"seconds": seconds, "cpu_seconds": cpu, "events": events}
    return slowest | {"ratio": slowest["seconds"] / REPLAY_SECONDS}


async def replay(address: str, payloads: str, thread: str, run_id: str) -> None:
    """In the fresh process: the worker is up, the workflow is unknown to it; a question makes it replay all of it."""
    client = await connect(address, payloads)
    async with Worker(client, task_queue=QUEUE):
        start, cpu = time.perf_counter(), time.process_time()
        await client.get_workflow_handle(thread, run_id=run_id).query("__stack_trace")
        sys.stdout.write(f"{time.perf_counter() - start} {time.process_time() - cpu}\n")


def growth(clock: Clock, start: tuple[int, int], end: tuple[int, int]) -> dict[str, float]:
    (early, early_cpu), (late, late_cpu) = clock.mean_ms(*start), clock.mean_ms(*end)
    return {
        "early_ms": early,
        "late_ms": late,
        "ratio": late / early,
        "early_cpu_ms": early_cpu,
        "late_cpu_ms": late_cpu,
        "cpu_ratio": late_cpu / early_cpu,
        "machine_ratio": fmean(clock.yardstick[slice(*end)]) / fmean(clock.yardstick[slice(*start)]),
    }


async def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    payloads = (folder / "payloads").as_uri()
    fresh = {"messages": [], "step": 0, "keep": 0}
    results: dict[str, Any] = {"steps": options.steps, "bytes": options.bytes, "cpus": os.cpu_count()}
    async with dev_server(folder) as server:
        if options.steps:
            results |= await measure_growing(options, server, payloads, fresh)
        if options.long:
            results |= await measure_long(options, server, payloads, fresh)
    return results


async def measure_growing(
    options: argparse.Namespace, server: DevServer, payloads: str, fresh: dict[str, Any]
) -> dict[str, Any]:
    state = {**fresh, "steps": options.steps, "bytes": options.bytes}
    clock, found = await run(server, payloads, "growing", state)
    last = options.steps - 1
    limit = 1.3 * options.bytes + 2048
    per_step = found.size_bytes / options.steps
    results: dict[str, Any] = {
        "time": growth(clock, (50, 50 + WINDOW), (last - WINDOW, last)),
        "history": {
            "runs": len(found.runs),
            "bytes_per_step": per_step,
            "limit": limit,
            "ratio": per_step / limit,
        },
    }
    if len(found.runs) > 1:
        results["replay"] = await replay_seconds(server, payloads, found)
    return results


async def measure_long(
    options: argparse.Namespace, server: DevServer, payloads: str, fresh: dict[str, Any]
) -> dict[str, Any]:
    state = {**fresh, "steps": options.long, "bytes": options.long_bytes, "keep": options.long_keep}
    clock, found = await run(server, payloads, "long", state)
    last = options.long - 1
    long = growth(clock, (50, 50 + WINDOW), (last - WINDOW, last))
    long |= {"runs": len(found.runs), "bytes_per_step": found.size_bytes / options.long}
    half = clock.memory[len(clock.memory) // 2 :]
    grown = (half[-1] - half[0]) / (WINDOW * (len(half) - 1))
    # Unpacked, a message takes some 2.5 KB besides its text, twice: the workflow's own and the nodes' copy.
    expected = 0 if options.long_keep else 2 * 2500 + options.long_bytes
    memory = {"rss_mb": clock.memory[-1] / 2**20, "grown_per_step": grown, "of_messages": expected}
    memory["ratio"] = max(0.0, grown - expected) / 1024
    return {"long": long, "memory": memory}


def table(results: dict[str, Any]) -> str:
    limits = {"time": 1.2, "history": 1.0, "replay": 1.0, "long": 1.2, "memory": 1.0}
    lines = ["target    ratio  limit"]
    for name, limit in limits.items():
        if name in results:
            ratio = results[name]["ratio"]
            lines.append(f"{name:8} {ratio:6.2f} {limit:6.1f}  {'met' if ratio <= limit else 'MISSED'}")
    return "\n".join(lines)


async def measure(options: dict[str, Any]) -> dict[str, Any]:
    """The rows for bench/run.py: the long run alone. `options`: `folder`, and `steps` where it is not 10,000."""
    steps = options.get("steps", 10_000)
    long = {"long": steps, "long_bytes": 200, "long_keep": 50, "steps": 0, "bytes": 0}
    found = await measured(argparse.Namespace(**long), Path(options["folder"]))
    last, grown = found["long"]["ratio"], found["memory"]["grown_per_step"]
    by = {"name": f"last 100 of {steps:,} steps, by steps 50 to 150", "value": last, "unit": "×"}
    cpu = {"name": "the same in processor time", "value": found["long"]["cpu_ratio"], "unit": "×"}
    memory = {"name": "worker memory: growth per step in the second half", "value": grown, "unit": "bytes"}
    rows = [
        by | {"target": "≤ 1.2 ×", "limit": 1.2, "met": last <= 1.2},
        cpu,
        memory | {"target": "≤ 1,024 bytes", "limit": 1024, "met": grown <= 1024},
    ]
    return {"rows": rows, "more": found}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a step costs as a run grows longer.")
    parser.add_argument(
        "--steps", type=int, default=1000, help="of the growing run; at least 300; 0 leaves it out"
    )
    parser.add_argument("--bytes", type=int, default=2048, help="of new messages per step")
    parser.add_argument("--long", type=int, default=10_000, help="steps of the long run; 0 leaves it out")
    parser.add_argument(
        "--long-bytes", type=int, default=200, help="of new messages per step of the long run"
    )
    parser.add_argument("--long-keep", type=int, default=50, help="messages that its state keeps; 0: all")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    parser.add_argument("--replay", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replay:
        asyncio.run(replay(*options.replay))
        return
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
        results = asyncio.run(measured(options, Path(folder)))
    told = json.dumps(results, indent=2)
    if options.json:
        options.json.write_text(told + "\n")
    sys.stdout.write(f"{told}\n\n{table(results)}\n")


if __name__ == "__main__":
    main()
