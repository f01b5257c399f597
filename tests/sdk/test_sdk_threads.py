"""`client.threads` of the real SDK: made, found, changed, copied, deleted; states, history, changes by hand."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError


async def found(client: LangGraphClient, count: int, **where: Any) -> list[Any]:
    """Visibility lags a little."""
    async with asyncio.timeout(30):
        while len(threads := await client.threads.search(**where)) != count:  # noqa: ASYNC110 - the server's
            await asyncio.sleep(0.1)
    return threads


async def test_a_thread_is_made_once(client: LangGraphClient) -> None:
    thread_id = str(uuid.uuid4())
    made = await client.threads.create(thread_id=thread_id, metadata={"owner": "me"})
    assert (made["thread_id"], made["status"]) == (thread_id, "idle")
    assert made["metadata"] == {"owner": "me"}
    with pytest.raises(ConflictError):
        await client.threads.create(thread_id=thread_id)
    again = await client.threads.create(thread_id=thread_id, if_exists="do_nothing")
    assert again["metadata"] == {"owner": "me"}
    assert (await client.threads.get_state(thread_id))["values"] == {}


async def test_unknown_threads(client: LangGraphClient) -> None:
    unknown = str(uuid.uuid4())
    for ask in (
        client.threads.get,
        client.threads.get_state,
        client.threads.get_history,
        client.threads.delete,
    ):
        with pytest.raises(NotFoundError):
            await ask(unknown)
    with pytest.raises(NotFoundError):
        await client.threads.update(unknown, metadata={"a": 1})
    with pytest.raises(NotFoundError):
        await client.threads.create(graph_id="nothing")


async def test_threads_are_found_by_metadata_status_and_ids(client: LangGraphClient) -> None:
    tag = uuid.uuid4().hex
    first = await client.threads.create(metadata={"tag": tag, "n": 1, "deep": {"a": [1]}})
    second = await client.threads.create(metadata={"tag": tag, "n": 2, "it's": "quoted"})
    await client.runs.wait(second["thread_id"], "asking", input={"log": []})
    threads = await found(client, 2, metadata={"tag": tag})
    assert {thread["thread_id"] for thread in threads} == {first["thread_id"], second["thread_id"]}
    [asking] = await found(client, 1, metadata={"tag": tag}, status="interrupted")
    assert asking["thread_id"] == second["thread_id"]
    assert asking["metadata"]["graph_id"] == "asking"
    assert asking["values"] == {"log": []}
    [one] = await found(client, 1, metadata={"tag": tag, "deep": {"a": [1]}})
    assert one["thread_id"] == first["thread_id"]
    [quoted] = await found(client, 1, metadata={"it's": "quoted", "tag": tag})
    assert quoted["thread_id"] == second["thread_id"]
    [by_id] = await found(client, 1, ids=[first["thread_id"]])
    assert by_id["metadata"]["n"] == 1
    assert await client.threads.count(metadata={"tag": tag}) == 2
    assert await client.threads.count(metadata={"tag": tag}, status="idle") == 1
    page = await client.threads.search(metadata={"tag": tag}, limit=1, offset=1, sort_by="created_at")
    assert [thread["thread_id"] for thread in page] == [first["thread_id"]]
    [only] = await client.threads.search(ids=[first["thread_id"]], select=["thread_id"])
    assert set(only) == {"thread_id"}
    with pytest.raises(UnprocessableEntityError):
        await client.threads.search(values={"log": []})


async def test_metadata_is_merged(client: LangGraphClient) -> None:
    tag = uuid.uuid4().hex
    thread = (await client.threads.create(metadata={"a": 1}))["thread_id"]
    changed = await client.threads.update(thread, metadata={"b": tag})
    assert changed["metadata"] == {"a": 1, "b": tag}
    assert (await client.threads.get(thread))["metadata"] == {"a": 1, "b": tag}
    await found(client, 1, metadata={"a": 1, "b": tag})
    assert await client.threads.update(thread, metadata={"c": 1}, return_minimal=True) is None


async def test_a_deleted_thread_is_gone(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "steps", input={"log": []})
    run = (await client.runs.create(thread, "slow", input={"log": ["slow"]}))["run_id"]
    await client.threads.delete(thread)
    with pytest.raises(NotFoundError):
        await client.threads.get(thread)
    with pytest.raises(NotFoundError):
        await client.runs.get(thread, run)
    await client.threads.create(thread_id=thread)
    assert (await client.threads.get_state(thread))["values"] == {}


async def test_states_and_history(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "steps", input={"log": []})
    history = await client.threads.get_history(thread)
    assert [list(state["next"]) for state in history] == [[], ["second"], ["first"], ["__start__"]]
    latest = await client.threads.get_state(thread)
    assert latest["values"] == {"log": ["first plain", "second"]}
    assert latest["checkpoint"] == history[0]["checkpoint"]
    assert latest["parent_checkpoint"] == history[1]["checkpoint"]
    assert (latest["metadata"]["source"], latest["metadata"]["step"]) == ("loop", 2)
    earlier = await client.threads.get_state(thread, checkpoint=history[1]["checkpoint"])
    assert earlier["values"] == {"log": ["first plain"]}
    by_id = await client.threads.get_state(thread, checkpoint_id=history[1]["checkpoint"]["checkpoint_id"])
    assert by_id["values"] == earlier["values"]
    older = await client.threads.get_history(thread, limit=1, before=history[1]["checkpoint"])
    assert older == history[2:3]
    with pytest.raises(NotFoundError):
        await client.threads.get_state(thread, checkpoint_id=str(uuid.uuid4()))


async def test_changing_the_state_by_hand(client: LangGraphClient) -> None:
    thread = (await client.threads.create(graph_id="steps"))["thread_id"]
    made = await client.threads.update_state(thread, {"log": ["by hand"]}, as_node="first")
    state = await client.threads.get_state(thread)
    assert state["checkpoint"]["checkpoint_id"] == made["checkpoint"]["checkpoint_id"]
    assert (state["values"], state["next"]) == ({"log": ["by hand"]}, ["second"])
    assert (await client.threads.get(thread))["status"] == "interrupted"
    assert (await client.runs.wait(thread, "steps", input=None))["log"] == ["by hand", "second"]
    with pytest.raises(ConflictError):
        await client.threads.update_state(thread, {"log": []}, as_node="nobody")


async def test_a_change_by_hand_answers_what_waits(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "asking", input={"log": []})
    await client.threads.update_state(thread, {"log": ["skipped"]}, as_node="ask")
    assert (await client.runs.wait(thread, "asking", input=None))["log"] == ["skipped", "after"]


async def test_a_copy_goes_its_own_way(client: LangGraphClient) -> None:
    thread = (await client.threads.create(metadata={"a": 1}))["thread_id"]
    await client.runs.wait(thread, "asking", input={"log": []})
    copied: Any = await client.threads.copy(thread)
    assert copied["thread_id"] != thread
    assert copied["status"] == "interrupted"
    done = await client.runs.wait(copied["thread_id"], "asking", command={"resume": "go"})
    assert done["log"] == ["told go", "after"]
    assert (await client.threads.get(thread))["status"] == "interrupted"
    assert len(await client.threads.get_history(copied["thread_id"])) > len(
        await client.threads.get_history(thread)
    )


async def test_a_thread_may_change_its_graph(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "steps", input={"log": []})
    values = await client.runs.wait(thread, "outer", input={"log": []})
    assert values["log"][-1] == "leaf"
    assert (await client.threads.get(thread))["metadata"]["graph_id"] == "outer"
