"""`deepagents.create_deep_agent` with its state backend: plans, files, subagents and decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain.agents.middleware import TodoListMiddleware
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool

from perdure.testing import PerdureEnvironment, ScriptedChatModel

HI: dict[str, Any] = {"messages": [("user", "write a report")]}


@tool
def publish(title: str) -> str:
    """Publish what was written."""
    return f"published {title}"


def call(tool: str, **args: Any) -> dict[str, Any]:
    return {"tool": tool, "args": args}


def deep(script: list[Any], **options: Any) -> Callable[[], Any]:
    return lambda: create_deep_agent(ScriptedChatModel(script), **options)


def tool_texts(result: dict[str, Any]) -> list[str]:
    return [message.text for message in result["messages"] if isinstance(message, ToolMessage)]


def without_times(result: dict[str, Any]) -> Any:
    files = {path: file["content"] for path, file in result.get("files", {}).items()}
    return [(m.type, m.text, m.tool_calls if m.type == "ai" else None) for m in result["messages"]], files


@pytest.mark.compat(
    "Agents: `deepagents.create_deep_agent` with its state backend, subagents, `interrupt_on`"
)
async def test_plans_and_files(same: Any) -> None:
    todos = [{"content": "write", "status": "in_progress"}]
    script = [
        call("write_todos", todos=todos),
        call("write_file", file_path="/report.md", content="# Title\n\nfirst draft\n"),
        [call("ls", path="/"), call("read_file", file_path="/report.md")],
        call("edit_file", file_path="/report.md", old_string="first", new_string="second"),
        call("grep", pattern="second", path="/"),
        "done",
    ]
    for carry_every in (0, 1):
        result = await same(
            deep(script, middleware=[TodoListMiddleware()]), HI, see=without_times, carry_every=carry_every
        )
        assert result["todos"] == todos
        assert "second draft" in str(result["files"]["/report.md"])
        assert result["messages"][-1].text == "done"


def with_subagents(*outer: Any, inner: list[Any], **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        subagent = {
            "name": "writer",
            "description": "writes",
            "system_prompt": "You write.",
            "model": ScriptedChatModel(inner),
            "tools": [publish],
            **options,
        }
        return create_deep_agent(ScriptedChatModel([*outer, "done"]), subagents=[subagent])

    return make


TASK = call("task", description="write it", subagent_type="writer")


@pytest.mark.compat(
    "Agents: `deepagents.create_deep_agent` with its state backend, subagents, `interrupt_on`"
)
async def test_a_subagent_works_on_the_same_files(same: Any) -> None:
    make = with_subagents(
        TASK,
        call("read_file", file_path="/a.md"),
        inner=[
            call("write_file", file_path="/a.md", content="by the writer"),
            call("publish", title="a"),
            "written",
        ],
    )
    result = await same(make, HI, see=without_times)
    assert tool_texts(result)[0] == "written"
    assert "by the writer" in tool_texts(result)[1]


async def test_the_general_purpose_subagent(same: Any) -> None:
    task = call("task", description="think", subagent_type="general-purpose")
    result = await same(deep([task, "thought about it", "done"]), HI)
    assert tool_texts(result) == ["thought about it"]


async def test_interrupt_on(same: Any) -> None:
    script = [[call("publish", title="a"), call("publish", title="b")], "done"]
    decisions = [{"type": "approve"}, {"type": "reject", "message": "not b"}]

    def answer(value: Any) -> Any:
        assert [request["name"] for request in value["action_requests"]] == ["publish", "publish"]
        return {"decisions": decisions}

    result = await same(deep(script, tools=[publish], interrupt_on={"publish": True}), HI, answer=answer)
    assert sorted(tool_texts(result))[1] == "published a"


async def test_a_subagent_that_asks_goes_on_where_it_was(same: Any) -> None:
    """Its messages are a `DeltaChannel` in a graph that runs inside the tool: it asks after several steps."""
    inner = [
        call("write_file", file_path="/a.md", content="draft"),
        call("ls", path="/"),
        call("publish", title="a"),
        call("publish", title="b"),
        "written",
    ]
    make = with_subagents(TASK, inner=inner, interrupt_on={"publish": True})
    approve = {"decisions": [{"type": "approve"}]}
    result = await same(make, HI, answer=lambda value: approve, see=without_times)
    assert tool_texts(result)[-1] == "written"


async def test_the_next_run_of_a_thread_has_files_plans_and_messages() -> None:
    script = [
        call("write_file", file_path="/a.md", content="kept"),
        "one",
        call("read_file", file_path="/a.md"),
        "two",
    ]
    async with PerdureEnvironment.start({"g": deep(script)()}) as env:
        await (await env.start("g", HI, thread_id="t", keep_open=True)).result()
        result = await (await env.start("g", HI, thread_id="t", keep_open=True)).result()
    assert "kept" in tool_texts(result)[-1]
    assert [m.text for m in result["messages"] if m.type == "ai" and m.text] == ["one", "two"]
