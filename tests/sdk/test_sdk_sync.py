"""The sync client of the real SDK, and LangGraph's `RemoteGraph`."""

from __future__ import annotations

from typing import Any

from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_sync_client


def test_a_script(stack: Any) -> None:
    with get_sync_client(url=stack.url) as client:
        thread = client.threads.create()["thread_id"]
        asked: Any = client.runs.wait(thread, "asking", input={"log": []})
        assert asked["__interrupt__"][0]["value"] == "what now?"
        told = list(client.runs.stream(thread, "asking", command={"resume": "go"}, stream_mode="updates"))
        assert [part.event for part in told] == ["metadata", "updates", "updates"]
        assert client.threads.get_state(thread)["values"] == {"log": ["told go", "after"]}
        assert client.assistants.get("steps")["graph_id"] == "steps"
        assert [run["status"] for run in client.runs.list(thread)] == ["success", "success"]
        client.threads.delete(thread)


async def test_a_remote_graph(stack: Any) -> None:
    graph = RemoteGraph("steps", url=stack.url)
    assert await graph.ainvoke({"log": ["in"]}) == {"log": ["in", "first plain", "second"]}
    updates = [part async for part in graph.astream({"log": []}, stream_mode="updates")]
    assert updates == [{"first": {"log": ["first plain"]}}, {"second": {"log": ["second"]}}]
    drawn = await graph.aget_graph()
    assert "first" in drawn.nodes
