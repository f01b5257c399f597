"""What comes after runs and their streams: stream mode `events`, a thread's stream, crons, states of subgraphs."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from peer_script import Script

__all__ = ["SCENARIOS"]

EMPTY: dict[str, Any] = {"log": []}
HI = {"messages": [{"role": "user", "content": "hi", "id": "m1"}]}


async def mode_events(s: Script) -> None:
    for graph, given in (("steps", EMPTY), ("chat", HI)):
        told = [
            part.data
            async for part in s.client.runs.stream(None, graph, input=given, stream_mode="events")
            if part.event == "events"
        ]
        streams = [each["name"] for each in told if each["event"] == "on_chain_stream"]
        s.note(f"{graph}: outputs", streams)
        others = [each for each in told if each["event"] != "on_chain_stream"]
        s.note(graph, [(each["event"], each["name"], sorted(each["data"])) for each in others])
        s.note(f"{graph}: keys", sorted({key for each in told for key in each}))


async def the_stream_of_a_thread(s: Script) -> None:
    thread = await s.thread()
    told: list[Any] = []

    async def listen() -> None:
        async for part in await s.client.threads.join_stream(thread):
            told.append([part.event, part.data])  # noqa: PERF401 - as they come

    listening = asyncio.create_task(listen())
    await asyncio.sleep(1)
    for _ in range(2):
        run = await s.client.runs.create(thread, "steps", input=EMPTY, stream_mode="values")
        await s.client.runs.join(thread, run["run_id"])
    # When it began to listen is nobody's promise: what it has heard, and not how much.
    last = ["values", {"log": ["first plain", "second"] * 2}]
    await s.until(lambda: asyncio.sleep(0, told), lambda told: last in told or listening.done())
    listening.cancel()
    s.note("kinds", sorted({event for event, _ in told}))


async def crons(s: Script) -> None:
    yearly = "0 0 1 1 *"
    thread = await s.thread()
    made = await s.client.crons.create("steps", schedule=yearly, input=EMPTY, metadata={"tag": s.tag})
    s.note("made", {key: made.get(key) for key in ("schedule", "thread_id", "assistant_id", "enabled")})
    s.note("keys", sorted(made))
    of_thread = await s.client.crons.create_for_thread(thread, "steps", schedule=yearly, input=EMPTY)
    s.note("of a thread", of_thread["thread_id"] == thread)
    found = await s.until(lambda: s.client.crons.search(thread_id=thread), lambda found: len(found) == 1)
    s.note("found", [each["cron_id"] == of_thread["cron_id"] for each in found])
    s.note("count", await s.client.crons.count(thread_id=thread))
    paused = await s.client.crons.update(made["cron_id"], enabled=False)
    s.note("paused", {key: paused.get(key) for key in ("enabled", "schedule")})
    for cron in (made, of_thread):
        await s.client.crons.delete(cron["cron_id"])
    await s.refused("delete nothing", s.client.crons.delete(str(uuid.uuid4())))
    await s.refused("bad schedule", s.client.crons.create("steps", schedule="often", input=EMPTY))
    await s.refused("no graph", s.client.crons.create("nothing", schedule=yearly, input=EMPTY))


async def states_of_subgraphs(s: Script) -> None:
    thread = await s.thread()
    await s.client.runs.wait(thread, "asking_inside", input={"log": ["in"]})
    state = await s.client.threads.get_state(thread, subgraphs=True)
    inner = state["tasks"][0]["state"] or {}
    s.note("inside", {key: inner.get(key) for key in ("values", "next")})
    s.note("tasks inside", [(t["name"], len(t["interrupts"])) for t in inner.get("tasks", [])])


SCENARIOS = [mode_events, the_stream_of_a_thread, crons, states_of_subgraphs]
