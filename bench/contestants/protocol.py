"""What the contestants of the benchmark share: parameters in, one JSON line out, and what is measured between.

    PYTHON contestant.py SCENARIO '<JSON parameters>'

Each contestant runs in an environment of its own, so this module needs nothing but Python. A contestant opens its `Stack` (a
worker, a server, a database) and hands it to `main`, which runs a short agent to warm up, then the scenario, and writes the
result. The clock runs from the start of the agents until the last result is with the client: connecting, starting a worker,
importing and warming up are not measured; storing and sending the result is.

| scenario | parameters                 | what runs                                                              |
|----------|----------------------------|------------------------------------------------------------------------|
| steps    | steps, bytes               | one agent; each step adds one message of that size to its conversation |
| agents   | agents, steps, bytes       | so many of these agents, started at once                               |
| branches | branches, bytes            | one fan-out; each branch returns one message, and all are joined       |
| kill     | steps, bytes, kill_at      | one agent, whose process is killed in the middle of it (killing.py)    |

What an agent cannot do is an answer, too: an error, or no end within the time limit (`seconds`), is written as the
contestant's result. Texts of agents differ, so that nothing is cached or deduplicated by content.
"""

import asyncio
import json
import os
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from killing import kill, live
from text import text

SECONDS = 100.0
"""How long agents may take; less than the runner allows for a measurement, so that a contestant can tell why."""

__all__ = ["CLOCK", "Agent", "Clock", "Stack", "main", "text", "write"]

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Agent:
    """One agent to run: `steps` messages one after the other where `branches` is 0, else so many beside each other.

    `key` is unique among all agents of all measurements; `seed` begins the agent's texts.
    """

    key: str
    steps: int
    branches: int
    bytes: int
    seed: int = 0

    @property
    def messages(self) -> int:
        return self.branches or self.steps


class Stack:
    """What runs a contestant's agents."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        """What else is to be told of the measurement (`more`)."""

    async def run(self, agent: Agent) -> int:
        """Run the agent to its end; how many messages its result holds."""
        raise NotImplementedError

    async def resume(self, agent: Agent) -> int:
        """Go on with an agent whose process was killed, as a user has to; how many messages its result holds."""
        raise NotImplementedError("nothing known that resumes it")

    async def stored(self, agents: list[Agent]) -> dict[str, int]:
        """What these agents left: `history_bytes` (Temporal), or `checkpoint_bytes` (others)."""
        raise NotImplementedError

    async def stuck(self, agents: list[Agent]) -> str:
        """Why agents did not end in time; empty where nothing tells."""
        return ""

    def ticks(self) -> list[float]:
        """When nodes were called (`time.perf_counter()`, which the processes of one machine share)."""
        return CLOCK.ticks

    def processor_seconds(self) -> float:
        """Processor time so far of the processes that run agents: this one, and its children that have ended."""
        spent = os.times()
        return time.process_time() + spent.children_user + spent.children_system


@dataclass
class Clock:
    """When nodes were called. One per process, because graphs are defined where modules are imported.

    `notes`: a file that is told of it, too, for what must outlive the process.
    """

    ticks: list[float] = field(default_factory=list)
    notes: Path | None = None

    def tick(self) -> None:
        now = time.perf_counter()
        self.ticks.append(now)
        if self.notes is not None:
            with self.notes.open("a") as file:
                file.write(f"{now}\n")


CLOCK = Clock()


def agents_of(scenario: str, given: Parameters) -> list[Agent]:
    size, key = given["bytes"], given["id"]
    if scenario == "steps":
        return [Agent(key, given["steps"], 0, size)]
    if scenario == "branches":
        return [Agent(key, 0, given["branches"], size)]
    if scenario == "agents":
        many = range(given["agents"])
        return [Agent(f"{key}-{n}", given["steps"], 0, size, n * given["steps"]) for n in many]
    raise NotImplementedError(f"no scenario {scenario!r} here")


async def measure(stack: Stack, agents: list[Agent], seconds: float) -> Parameters:
    """Warm up, run them all at once, and tell what that took.

    Raises:
        TimeoutError: they did not end in time; the message says how far they came, and why, where that is known.
    """
    first = agents[0]
    warm = Agent(
        f"{first.key}-warm", min(first.steps, 2), min(first.branches, 2), first.bytes, seed=1_000_000
    )
    await _all(stack, [warm], seconds)
    cpu, wall = stack.processor_seconds(), time.perf_counter()
    await _all(stack, agents, seconds)
    took, spent = time.perf_counter() - wall, stack.processor_seconds() - cpu
    return {
        "ok": True,
        "wall_seconds": took,
        "cpu_seconds": spent,
        "steps": sum(agent.messages for agent in agents),
        "step_times": [tick - wall for tick in sorted(stack.ticks()) if tick >= wall],
        **await stack.stored(agents),
        "more": stack.facts,
    }


async def _all(stack: Stack, agents: list[Agent], seconds: float) -> None:
    start = time.perf_counter()
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.gather(*(stack.run(agent) for agent in agents))
    except Exception as error:
        called = sum(tick >= start for tick in stack.ticks())
        calls = f"{called} nodes of {sum(agent.messages for agent in agents)} called"
        if not isinstance(error, TimeoutError):
            error.add_note(calls)
            raise
        why = await stack.stuck(agents)
        raise TimeoutError(f"no end within {seconds:.0f} s, {calls}{': ' if why else ''}{why}") from None
    for agent, messages in zip(agents, found, strict=True):
        if messages != agent.messages:
            raise AssertionError(f"agent {agent.key!r} ended with {messages} of {agent.messages} messages")


def write(result: Parameters, out: int) -> None:
    os.write(out, (json.dumps(result) + "\n").encode())


Opened = Callable[[Parameters], AbstractAsyncContextManager[Stack]]
Place = Callable[[Parameters], AbstractAsyncContextManager[Parameters]]


@asynccontextmanager
async def _nowhere(given: Parameters) -> AsyncIterator[Parameters]:
    yield given


def main(opened: Opened, *, place: Place = _nowhere) -> None:
    """Run what the command line asks for; end the process with 0, whatever the contestant said.

    `place` makes what a measurement has for itself, such as a database, and takes it away again; the parameters that it yields
    tell `opened` where that is.
    """
    scenario, given = sys.argv[1], json.loads(sys.argv[2])
    # What libraries print must not get between: standard output is for the result alone.
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        result = asyncio.run(_result(scenario, given, opened, place))
    except Exception as error:  # noqa: BLE001 what a contestant cannot do is its result
        traceback.print_exc()
        result = {"ok": False, "error": told(error)}
    write(result, out)
    # Some leave threads behind that nobody ends.
    sys.stderr.flush()
    os._exit(0)


async def _result(scenario: str, given: Parameters, opened: Opened, place: Place) -> Parameters:
    if scenario == "live":
        CLOCK.notes = Path(given["notes"])
        return await live(opened, given, agents_of("steps", given)[0])
    async with place(given) as own:
        if scenario == "kill":
            return await kill(own)
        async with opened(own) as stack:
            return await measure(stack, agents_of(scenario, own), own.get("seconds", SECONDS))


def told(error: BaseException) -> str:
    """The error, what it came from, and how far its agents came, in one line."""
    chain: list[str] = []
    notes = getattr(error, "__notes__", [])
    cause: BaseException | None = error
    while cause is not None and len(chain) < 4:
        lines = str(cause).strip().splitlines() or [""]
        chain.append(f"{type(cause).__name__}: {lines[0][:300]}")
        cause = cause.__cause__
    return " <- ".join(chain) + "".join(f" ({note})" for note in notes)
