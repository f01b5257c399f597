"""`client.threads` of the real SDK: states in bulk and of subgraphs, extracted values, pruned and expiring threads."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError
from sdk_stack import Stack


def superstep(*updates: tuple[str, Any]) -> dict[str, Any]:
    return {"updates": [{"as_node": node, "values": values} for node, values in updates]}


async def until_gone(client: LangGraphClient, thread_id: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.threads.get(thread_id)
            except NotFoundError:
                return
            await asyncio.sleep(0.1)


async def test_a_thread_is_made_with_a_past(client: LangGraphClient) -> None:
    steps = [
        superstep(("__start__", {"messages": [{"type": "human", "content": "hi", "id": "1"}]})),
        superstep(("answer", {"messages": [{"type": "ai", "content": "hello", "id": "2"}]})),
    ]
    thread = await client.threads.create(graph_id="chat", supersteps=steps)
    assert [m["content"] for m in thread["values"]["messages"]] == ["hi", "hello"]
    assert thread["status"] == "idle"
    history = await client.threads.get_history(thread["thread_id"])
    assert [len(state["values"]["messages"]) for state in history[:2]] == [2, 1]
    values = await client.runs.wait(thread["thread_id"], "chat", input={"messages": [("user", "more")]})
    assert [m["content"] for m in values["messages"]] == ["hi", "hello", "more", "you said: more"]


async def test_a_past_that_does_not_fit_makes_no_thread(client: LangGraphClient) -> None:
    thread_id = str(uuid.uuid4())
    with pytest.raises(UnprocessableEntityError, match="supersteps"):
        await client.threads.create(thread_id=thread_id, supersteps=[superstep(("answer", {}))])
    with pytest.raises(ConflictError, match="nobody"):
        await client.threads.create(
            thread_id=thread_id, graph_id="chat", supersteps=[superstep(("nobody", {"messages": []}))]
        )
    await until_gone(client, thread_id)


async def test_states_are_written_in_bulk(client: LangGraphClient, stack: Stack) -> None:
    thread = (await client.threads.create(graph_id="steps"))["thread_id"]
    steps = [superstep(("__start__", {"log": ["a"]})), superstep(("first", {"log": ["b"]}))]
    async with httpx.AsyncClient(base_url=stack.url) as http:
        answer = await http.post(f"/threads/{thread}/state/bulk", json={"supersteps": steps})
    assert answer.status_code == 200
    state = await client.threads.get_state(thread)
    assert (state["values"], state["next"]) == ({"log": ["a", "b"]}, ["second"])
    assert state["checkpoint"]["checkpoint_id"] == answer.json()["checkpoint"]["checkpoint_id"]


async def test_the_state_of_a_graph_within_a_graph(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "asking_inside", input={"log": ["in"]})
    plain = await client.threads.get_state(thread)
    [task] = plain["tasks"]
    assert task["state"] is None
    place: Any = task["checkpoint"]
    assert place["checkpoint_ns"].startswith("inner:")
    [task] = (await client.threads.get_state(thread, subgraphs=True))["tasks"]
    inner = task["state"]
    assert inner is not None
    assert (inner["values"], inner["next"]) == ({"log": ["in"]}, ["ask"])
    assert inner["checkpoint"]["checkpoint_ns"] == place["checkpoint_ns"]
    assert inner["tasks"][0]["interrupts"] == plain["interrupts"]
    by_place = await client.threads.get_state(thread, checkpoint=place)
    assert (by_place["values"], by_place["next"]) == (inner["values"], inner["next"])
    at: Any = await client.threads.get_state(
        thread, checkpoint_id=plain["checkpoint"]["checkpoint_id"], subgraphs=True
    )
    assert at["tasks"][0]["state"]["values"] == {"log": ["in"]}


async def test_single_values_are_extracted_from_a_search(client: LangGraphClient) -> None:
    tag = uuid.uuid4().hex
    thread = (await client.threads.create(metadata={"tag": tag}))["thread_id"]
    await client.runs.wait(thread, "chat", input={"messages": [("user", "x" * 5000)]})
    paths = {"last": "values.messages[-1].content", "who": "metadata.tag", "no": "values.none[3]"}
    async with asyncio.timeout(30):
        while not (found := await client.threads.search(metadata={"tag": tag}, extract=paths)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert found[0]["extracted"] == {"last": "you said: " + "x" * 5000, "who": tag, "no": None}
    with pytest.raises(UnprocessableEntityError, match="no path"):
        await client.threads.search(extract={"a": "values..b"})


async def test_old_checkpoints_are_pruned(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "asking", input={"log": ["in"]})
    await client.runs.wait(thread, "steps", input={"log": ["again"]})
    before = await client.threads.get_history(thread)
    answer = await client.threads.prune([thread, str(uuid.uuid4())], strategy="keep_latest")
    assert answer == {"pruned_count": 1}
    after = await client.threads.get_history(thread)
    assert [s["checkpoint"] for s in after] == [before[0]["checkpoint"]]
    assert after[0]["values"] == before[0]["values"]
    values = await client.runs.wait(thread, "steps", input={"log": ["more"]})
    assert values["log"][-3:] == ["more", "first plain", "second"]
    assert await client.threads.prune([thread]) == {"pruned_count": 1}
    await until_gone(client, thread)


async def test_threads_that_nobody_uses_go(client: LangGraphClient) -> None:
    kept = (await client.threads.create(ttl={"ttl": 0.02, "strategy": "keep_latest"}))["thread_id"]
    gone = (await client.threads.create(ttl=1 / 60))["thread_id"]  # pyright: ignore[reportArgumentType]
    await client.runs.wait(kept, "steps", input={"log": []})
    await until_gone(client, gone)
    async with asyncio.timeout(60):
        while len(await client.threads.get_history(kept)) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert (await client.threads.get_state(kept))["values"]["log"] == ["first plain", "second"]
    with pytest.raises(NotFoundError):
        await client.runs.create(gone, "steps", input={"log": []})


async def test_an_assistant_takes_its_threads_along(client: LangGraphClient) -> None:
    assistant = (await client.assistants.create("steps"))["assistant_id"]
    its, other = [(await client.threads.create())["thread_id"] for _ in range(2)]
    await client.runs.wait(its, assistant, input={"log": []})
    await client.runs.wait(other, "steps", input={"log": []})
    async with asyncio.timeout(30):
        while not await client.threads.search(metadata={"assistant_id": assistant}):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await client.assistants.delete(assistant, delete_threads=True)
    await until_gone(client, its)
    assert (await client.threads.get(other))["status"] == "idle"
