"""Streams through the real SDK: modes, tokens, subgraphs, coming late, coming back, going away."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import httpx
from langgraph_sdk.client import LangGraphClient

HI = {"messages": [{"role": "user", "content": "hi"}]}


async def parts(stream: Any) -> list[Any]:
    return [part async for part in stream]


async def new_thread(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


async def test_values_come_step_by_step(client: LangGraphClient) -> None:
    created: list[Any] = []
    thread = await new_thread(client)
    told = await parts(
        client.runs.stream(thread, "steps", input={"log": ["in"]}, on_run_created=created.append)
    )
    assert told[0].event == "metadata"
    assert told[0].data["run_id"] == created[0]["run_id"]
    assert [part.event for part in told[1:]] == ["values"] * 3
    assert [part.data["log"] for part in told[1:]] == [
        ["in"],
        ["in", "first plain"],
        ["in", "first plain", "second"],
    ]


async def test_several_modes_at_once(client: LangGraphClient) -> None:
    modes: Any = ["updates", "custom", "tasks", "checkpoints", "debug"]
    told = await parts(client.runs.stream(None, "steps", input={"log": []}, stream_mode=modes))
    assert {part.event for part in told} == {"metadata", *modes}
    updates = [part.data for part in told if part.event == "updates"]
    assert updates == [{"first": {"log": ["first plain"]}}, {"second": {"log": ["second"]}}]
    assert [part.data for part in told if part.event == "custom"] == [{"progress": 1}]


async def test_tokens_come_while_the_model_speaks(client: LangGraphClient) -> None:
    told = await parts(client.runs.stream(None, "chat", input=HI, stream_mode=["messages-tuple", "values"]))
    chunks = [part.data for part in told if part.event == "messages"]
    assert len(chunks) > 2
    assert "".join(message["content"] for message, _ in chunks) == "you said: hi"
    assert {message["type"] for message, _ in chunks} == {"AIMessageChunk"}
    assert {metadata["langgraph_node"] for _, metadata in chunks} == {"answer"}
    last = told[-1]
    assert last.event == "values"
    assert last.data["messages"][-1]["id"] == chunks[0][0]["id"]


async def test_messages_grow(client: LangGraphClient) -> None:
    told = await parts(client.runs.stream(None, "chat", input=HI, stream_mode="messages"))
    kinds = [part.event for part in told]
    assert kinds[:2] == ["metadata", "messages/metadata"]
    assert set(kinds[2:]) == {"messages/partial"}
    texts = [part.data[0]["content"] for part in told[2:]]
    assert texts[-1] == "you said: hi"
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))


async def test_messages_that_no_model_said(client: LangGraphClient) -> None:
    told = await parts(client.runs.stream(None, "told", input=HI, stream_mode="messages"))
    assert told[-1].event == "messages/complete"
    assert told[-1].data[0]["id"] == "said"


async def test_what_models_and_nodes_do_is_told_as_astream_events_tells_it(client: LangGraphClient) -> None:
    told = await parts(client.runs.stream(None, "chat", input=HI, stream_mode=["events", "values"]))
    assert {part.event for part in told} == {"metadata", "events", "values"}
    events = [part.data for part in told if part.event == "events"]
    kinds = [(event["event"], event["name"]) for event in events]
    model = "ScriptedChatModel"
    assert [*dict.fromkeys(kinds)] == [
        ("on_chain_start", "chat"),
        ("on_chain_start", "answer"),
        ("on_chat_model_start", model),
        ("on_chat_model_stream", model),
        ("on_chat_model_end", model),
        ("on_chain_stream", "answer"),
        ("on_chain_end", "answer"),
        ("on_chain_end", "chat"),
    ]
    spoken = [e["data"]["chunk"]["content"] for e in events if e["event"] == "on_chat_model_stream"]
    assert len(spoken) > 2
    assert "".join(spoken) == "you said: hi"
    root, node, started = events[:3]
    assert (root["run_id"], root["parent_ids"]) == (told[0].data["run_id"], [])
    assert (node["parent_ids"], started["parent_ids"]) == ([root["run_id"]], [root["run_id"], node["run_id"]])
    assert started["metadata"]["langgraph_node"] == "answer"
    assert events[-3]["data"]["chunk"] == events[-2]["data"]["output"]
    assert events[-1]["data"]["output"]["messages"][-1]["content"] == "you said: hi"


async def test_a_node_that_is_tried_again_says_so(client: LangGraphClient) -> None:
    told = await parts(client.runs.stream(None, "flaky", input=HI, stream_mode=["messages-tuple", "values"]))
    [again] = [number for number, part in enumerate(told) if part.event == "messages/retry"]
    assert told[again].data == {"node": "speak", "step": 1, "attempt": 2}
    texts = {
        "".join(p.data[0]["content"] for p in some if p.event == "messages")
        for some in (told[:again], told[again:])
    }
    assert texts == {"one two three"}
    before, after = [
        {part.data[0]["id"] for part in some if part.event == "messages"}
        for some in (told[:again], told[again:])
    ]
    # The model had answered before the node failed: it is not asked again, and its answer is told from the beginning.
    assert before == after
    assert told[-1].data["messages"][-1]["id"] in after


async def test_subgraphs_are_told_with_their_namespace(client: LangGraphClient) -> None:
    told = await parts(
        client.runs.stream(None, "outer", input={"log": []}, stream_mode="updates", stream_subgraphs=True)
    )
    inside = [part for part in told if part.event.startswith("updates|inner:")]
    assert [part.data for part in inside] == [{"leaf": {"log": ["leaf"]}}]
    plain = await parts(client.runs.stream(None, "outer", input={"log": []}, stream_mode="updates"))
    assert {part.event for part in plain} == {"metadata", "updates"}


async def test_what_is_asked_is_told(client: LangGraphClient) -> None:
    thread = await new_thread(client)
    told = await parts(client.runs.stream(thread, "asking", input={"log": []}))
    assert told[-1].data["__interrupt__"][0]["value"] == "what now?"
    told = await parts(client.runs.stream(thread, "asking", command={"resume": "go"}, stream_mode="updates"))
    assert [part.data for part in told[1:]] == [{"ask": {"log": ["told go"]}}, {"after": {"log": ["after"]}}]


async def test_a_failure_is_told(client: LangGraphClient) -> None:
    told = await parts(client.runs.stream(None, "failing", input={"log": []}))
    assert told[-1].event == "error"
    assert told[-1].data["error"] == "NodeFailed" or told[-1].data["error"] == "ValueError"
    assert "no such customer" in told[-1].data["message"]


async def test_coming_late_tells_all_of_it_once(client: LangGraphClient) -> None:
    thread = await new_thread(client)
    run = (await client.runs.create(thread, "steps", input={"log": []}, stream_mode=["values", "updates"]))[
        "run_id"
    ]
    await client.runs.join(thread, run)
    late = await parts(client.runs.join_stream(thread, run))
    assert [part.event for part in late[1:]] == ["values", "updates", "values", "updates", "values"]
    again = await parts(client.runs.join_stream(thread, run, last_event_id=late[2].id))
    assert again == late[3:]
    chosen = await parts(client.runs.join_stream(thread, run, stream_mode="updates"))
    assert [part.event for part in chosen] == ["metadata", "updates", "updates"]


async def test_a_stream_of_a_run_that_the_broker_has_forgotten(client: LangGraphClient, stack: Any) -> None:
    thread = await new_thread(client)
    run = (await client.runs.create(thread, "steps", input={"log": []}))["run_id"]
    await client.runs.join(thread, run)
    stack.broker._streams.clear()
    told = await parts(client.runs.join_stream(thread, run, last_event_id="1-1"))
    assert [part.data for part in told] == [{"log": ["first plain", "second"]}]


async def test_a_cancelled_run_ends_its_stream(client: LangGraphClient) -> None:
    thread = await new_thread(client)
    seen: list[Any] = []
    async for part in client.runs.stream(thread, "slow", input={"log": ["slow"]}):
        seen.append(part)
        if part.event == "values" and part.data["log"][-1] == "begun":
            await client.runs.cancel(thread, seen[0].data["run_id"])
    assert (await client.runs.get(thread, seen[0].data["run_id"]))["status"] == "interrupted"


async def test_going_away_cancels_if_wanted(client: LangGraphClient, stack: Any) -> None:
    thread = await new_thread(client)
    for wish in ("continue", "cancel"):
        body = {
            "assistant_id": "slow",
            "input": {"log": ["slow"]},
            "on_disconnect": wish,
            "multitask_strategy": "interrupt",
        }
        async with (
            httpx.AsyncClient() as http,
            http.stream("POST", f"{stack.url}/threads/{thread}/runs/stream", json=body) as response,
        ):
            async for line in response.aiter_lines():
                if "begun" in line:
                    break
        [run] = await client.runs.list(thread, limit=1)
        if wish == "continue":
            await asyncio.sleep(0.5)
            assert (await client.runs.get(thread, run["run_id"]))["status"] == "running"
            continue
        async with asyncio.timeout(30):
            while (await client.runs.get(thread, run["run_id"]))["status"] == "running":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
