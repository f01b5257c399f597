"""Streams: each mode, several at once, subgraphs, questions, errors, coming late."""

from __future__ import annotations

from typing import Any

from peer_script import Script

__all__ = ["SCENARIOS"]

EMPTY: dict[str, Any] = {"log": []}
SLOW: dict[str, Any] = {"log": ["slow"]}
HI = {"messages": [{"role": "user", "content": "hi", "id": "m1"}]}
MODES: list[Any] = [
    "values",
    "updates",
    "custom",
    "tasks",
    "checkpoints",
    "debug",
    "messages-tuple",
    "messages",
]


async def one_mode_each(s: Script) -> None:
    for mode in MODES:
        await s.stream(mode, await s.thread(), "steps", input=EMPTY, stream_mode=mode)


async def chat_in_each_mode(s: Script) -> None:
    for mode in ("values", "updates", "messages-tuple", "messages"):
        await s.stream(mode, await s.thread(), "chat", input=HI, stream_mode=mode)


async def several_modes_at_once(s: Script) -> None:
    await s.stream("some", None, "steps", input=EMPTY, stream_mode=["values", "updates", "custom"])
    await s.stream("chat", None, "chat", input=HI, stream_mode=["messages-tuple", "values"])


async def parallel_and_jumping_nodes(s: Script) -> None:
    parts = [
        p async for p in s.client.runs.stream(None, "fan", input=EMPTY, stream_mode=["updates", "tasks"])
    ]
    s.note("fan", sorted(str((p.event, sorted(p.data))) for p in parts))
    await s.stream("jump", None, "jumping", input=EMPTY, stream_mode=["updates", "values"])


async def subgraphs(s: Script) -> None:
    for mode in ("updates", "values", "tasks"):
        options: Any = {"input": EMPTY, "stream_mode": mode, "stream_subgraphs": True}
        await s.stream(mode, await s.thread(), "outer", **options)
    await s.stream("without", None, "outer", input=EMPTY, stream_mode="updates")
    thread = await s.thread()
    options = {"stream_mode": "updates", "stream_subgraphs": True}
    await s.stream("asks inside", thread, "asking_inside", input=EMPTY, **options)
    await s.stream("answered inside", thread, "asking_inside", command={"resume": "yes"}, **options)


async def questions(s: Script) -> None:
    for modes in (["values"], ["updates"], ["tasks"], ["debug"], ["values", "updates"], ["messages-tuple"]):
        thread = await s.thread()
        options: Any = {"stream_mode": modes}
        await s.stream(f"asked {modes}", thread, "asking", input=EMPTY, **options)
        await s.stream(f"answered {modes}", thread, "asking", command={"resume": "go"}, **options)
    before: Any = {"stream_mode": ["values", "updates"], "interrupt_before": ["second"]}
    await s.stream("interrupt before", await s.thread(), "steps", input=EMPTY, **before)


async def errors(s: Script) -> None:
    parts = await s.stream(
        "fails", await s.thread(), "failing", input=EMPTY, stream_mode=["updates", "tasks"]
    )
    s.note("last", parts[-1][0])
    limit: Any = {"recursion_limit": 2}
    parts = [p async for p in s.client.runs.stream(None, "endless", input=EMPTY, config=limit)]
    s.note("recursion", [(p.event, p.data["error"] if p.event == "error" else None) for p in parts])


async def a_run_that_is_cancelled(s: Script) -> None:
    thread = await s.thread()
    events: list[Any] = []
    async for part in s.client.runs.stream(thread, "slow", input=SLOW, stream_mode="updates"):
        events.append(part.event)
        if part.event == "updates":
            await s.client.runs.cancel(thread, (await s.client.runs.list(thread))[0]["run_id"])
    s.note("events", events)


async def joining(s: Script) -> None:
    thread = await s.thread()
    options: Any = {"input": EMPTY, "stream_mode": ["updates", "values"], "stream_resumable": True}
    run = (await s.client.runs.create(thread, "steps", **options))["run_id"]
    await s.client.runs.join(thread, run)
    late = [p async for p in s.client.runs.join_stream(thread, run, last_event_id="-1")]
    s.note("late", [[p.event, p.data] for p in late])
    seen = next((p.id for p in late if p.event == "updates"), None)
    rest = [p async for p in s.client.runs.join_stream(thread, run, last_event_id=seen)]
    s.note("rest", [[p.event, p.data] for p in rest])
    plain = [p async for p in s.client.runs.join_stream(thread, run)]
    s.note("joined after the end", [p.event for p in plain])


SCENARIOS = [
    one_mode_each,
    chat_in_each_mode,
    several_modes_at_once,
    parallel_and_jumping_nodes,
    subgraphs,
    questions,
    errors,
    a_run_that_is_cancelled,
    joining,
]
