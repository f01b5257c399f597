"""What a thread's history tells: through continue-as-new, with what it cost, did and took back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from rich.console import Console

from perdure import RunFailed, effect
from perdure.cli.story import Note, Step, Story
from perdure.cli.story_view import story_table, used
from perdure.testing import PerdureEnvironment, ScriptedChatModel


class State(TypedDict, total=False):
    log: Annotated[list[str], lambda old, new: old + new]


async def refund() -> None: ...


@effect(undo=refund)
async def charge() -> str:
    return "charged"


def graph() -> Any:
    usage = {"input_tokens": 1000, "output_tokens": 20, "total_tokens": 1020}
    model = ScriptedChatModel([ConnectionError("the model is away"), AIMessage("pay", usage_metadata=usage)])

    async def think(state: State) -> State:
        return {"log": [(await model.ainvoke("what now?")).text]}

    async def pay(state: State) -> State:
        return {"log": [await charge()]}

    def ask(state: State) -> State:
        return {"log": [interrupt({"question": "Ship it?", "expires_in": 3600, "on_expiry": "expired"})]}

    def ship(state: State) -> State:
        raise ValueError("no courier")

    builder = StateGraph(State)
    previous = START
    for node in (think, pay, ask, ship):
        builder.add_node(node)
        builder.add_edge(previous, node.__name__)
        previous = node.__name__
    return builder.compile()


async def story_of(env: PerdureEnvironment, thread: str, first_run: str) -> Story:
    story = Story()
    run: str | None = first_run
    while run is not None:
        story.next_run = None
        async for event in env.client.get_workflow_handle(thread, run_id=run).fetch_history_events():
            story.apply(event)
        run = story.next_run
    return story


async def test_the_story_of_a_run_that_failed_and_was_taken_back() -> None:
    async with PerdureEnvironment.start({"g": graph()}, carry_every=2) as env:
        run = await env.start("g", {"log": []}, thread_id="t")
        first = (await run.handle.describe()).run_id
        await run.wait_for_approvals()
        await env.advance(timedelta(hours=2))
        with pytest.raises(RunFailed):
            await run.result()
        first = (await run.handle.describe()).raw_description.workflow_execution_info.first_run_id or first
        story = await story_of(env, "t", first)
    told = [
        (entry.kind, entry.text) if isinstance(entry, Note) else (entry.kind, entry.node, entry.outcome)
        for entry in story.entries
    ]
    assert told == [
        ("started", '{"log": []}'),
        ("node", "think", "done"),
        ("node", "pay", "done"),
        ("effect", "pay/charge", "done"),
        ("carried", "continued as new"),
        ("node", "ask", "asked"),
        ("expired", "nobody answered in time"),
        ("node", "ask", "done"),
        ("carried", "continued as new"),
        ("node", "ship", "failed"),
        ("undo", "undo charge", "done"),
        ("ended", "failed: NodeFailed: node 'ship' failed: ValueError: no courier"),
    ]
    steps = {entry.node: entry for entry in story.entries if isinstance(entry, Step)}
    assert (steps["think"].attempts, steps["think"].failures) == (2, ["connection"])
    assert steps["pay/charge"].key == steps["undo charge"].key != ""
    assert used(story.usage) == "2 model calls, 1,000 + 20 tokens"
    console = Console(width=100, no_color=True)
    with console.capture() as shown:
        console.print(story_table(story))
    lines = shown.get().splitlines()
    assert any("✓ think" in line and "2 attempts (connection)" in line for line in lines)
    assert any("  ✓ effect charge" in line for line in lines)


def test_calls_that_are_alike_share_a_line_and_the_latest_lines_are_told() -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)

    def call(node: str, second: int, step: int, **more: Any) -> Step:
        times = {
            "scheduled": begun + timedelta(seconds=second),
            "closed": begun + timedelta(seconds=second + 1),
        }
        return Step(f"{node}:{second}", node, step, outcome="done", **times, **more)

    story = Story()
    story.entries = [call("plan", 0, 1), *(call("child", 1 + n, 2) for n in range(3))]
    story.entries += [call("child", 4, 2, attempts=2, failures=["timeout"]), call("child", 5, 3)]

    def shown(last: int) -> list[str]:
        console = Console(width=100, no_color=True)
        with console.capture() as told:
            console.print(story_table(story, last=last))
        return [" ".join(line.split()) for line in told.get().splitlines()]

    everything = [
        "+0.00 s ✓ plan 1.00 s",
        "+1.00 s ✓ child ×3 3.00 s",
        "+4.00 s ✓ child 1.00 s 2 attempts (timeout)",
        "+5.00 s ✓ child 1.00 s",
    ]
    assert shown(0) == shown(4) == everything
    assert shown(1) == ["… 3 earlier --last 0 tells all", everything[-1]]
