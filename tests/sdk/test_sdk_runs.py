"""`client.runs` of the real SDK: wait, create, list, get, join, cancel, what comes while another runs, answers."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

HI = {"messages": [{"role": "user", "content": "hi"}]}
SLOW = {"log": ["slow"]}


async def until(client: LangGraphClient, thread: str, run: str, *statuses: str) -> Any:
    async with asyncio.timeout(60):
        while (found := await client.runs.get(thread, run))["status"] not in statuses:  # noqa: ASYNC110 - the server changes it
            await asyncio.sleep(0.1)
    return found


async def test_wait_returns_the_values_and_the_next_run_goes_on_from_them(client: LangGraphClient) -> None:
    thread = await client.threads.create()
    values = await client.runs.wait(thread["thread_id"], "chat", input=HI)
    assert [m["type"] for m in values["messages"]] == ["human", "ai"]
    assert values["messages"][-1]["content"] == "you said: hi"
    again = await client.runs.wait(thread["thread_id"], "chat", input=HI)
    assert len(again["messages"]) == 4


async def test_wait_without_a_thread_keeps_nothing(client: LangGraphClient) -> None:
    created: list[Any] = []
    values = await client.runs.wait(None, "chat", input=HI, on_run_created=created.append)
    assert values["messages"][-1]["content"] == "you said: hi"
    async with asyncio.timeout(60):  # lists lag
        while await client.threads.search(ids=[created[0]["thread_id"]]):  # noqa: ASYNC110 - the server changes it
            await asyncio.sleep(0.1)


async def test_a_run_is_a_thing_of_its_own(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "steps", input={"log": []}, metadata={"who": "me"})
    assert run["status"] in ("pending", "running", "success")
    assert run["metadata"]["who"] == "me"
    assert (await client.runs.join(thread, run["run_id"]))["log"] == ["first plain", "second"]
    found = await client.runs.get(thread, run["run_id"])
    assert (found["status"], found["thread_id"]) == ("success", thread)
    second = await client.runs.create(thread, "steps", input={"log": []})
    await client.runs.join(thread, second["run_id"])
    listed = await client.runs.list(thread)
    assert [item["run_id"] for item in listed] == [second["run_id"], run["run_id"]]
    assert await client.runs.list(thread, status="error") == []
    await client.runs.delete(thread, run["run_id"])
    with pytest.raises(NotFoundError):
        await client.runs.get(thread, run["run_id"])


async def test_context_and_config_reach_the_graph(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    values = await client.runs.wait(thread, "steps", input={"log": []}, context={"tone": "kind"})
    assert values["log"][0] == "first kind"


async def test_a_failure_is_an_error_and_the_thread_lives_on(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    with pytest.raises(Exception, match=r"ValueError.*no such customer"):
        await client.runs.wait(thread, "failing", input={"log": []})
    told = await client.runs.wait(thread, "failing", input={"log": []}, raise_error=False)
    assert told["__error__"]["error"] == "ValueError"
    assert (await client.runs.list(thread))[0]["status"] == "error"
    assert (await client.threads.get(thread))["status"] == "error"
    assert (await client.runs.wait(thread, "steps", input={"log": []}))["log"]
    assert (await client.threads.get(thread))["status"] == "idle"


async def test_a_run_that_asks_ends_and_another_answers(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    asked = await client.runs.wait(thread, "asking", input={"log": []})
    [question] = asked["__interrupt__"]
    assert question["value"] == "what now?"
    known = await client.threads.get(thread)
    assert known["status"] == "interrupted"
    assert [item for items in known["interrupts"].values() for item in items] == [question]
    state = await client.threads.get_state(thread)
    assert (state["next"], state["interrupts"]) == (["ask"], [question])
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await client.runs.wait(thread, "asking", command={"resume": {"0" * 32: "x"}})
    assert refused.value.response.status_code == 409
    done = await client.runs.wait(thread, "asking", command={"resume": {question["id"]: "go"}})
    assert done["log"] == ["told go", "after"]
    assert (await client.threads.get(thread))["status"] == "idle"
    with pytest.raises(ConflictError):
        await client.runs.create(thread, "asking", command={"resume": "again"})


async def test_other_input_drops_what_was_asked(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "asking", input={"log": ["one"]})
    asked = await client.runs.wait(thread, "asking", input={"log": ["two"]})
    assert len(asked["__interrupt__"]) == 1
    done = await client.runs.wait(thread, "asking", command={"resume": "go"})
    assert done["log"] == ["one", "two", "told go", "after"]


async def test_interrupt_before_and_after(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    values = await client.runs.wait(thread, "steps", input={"log": []}, interrupt_before=["second"])
    assert values["log"] == ["first plain"]
    assert (await client.threads.get(thread))["status"] == "interrupted"
    assert (await client.runs.wait(thread, "steps", input=None))["log"] == ["first plain", "second"]
    stopped = await client.runs.wait(thread, "steps", input={"log": []}, interrupt_after=["first"])
    assert stopped["log"][-1] == "first plain"


async def test_commands_update_and_go(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "steps", input={"log": []})
    values = await client.runs.wait(
        thread, "steps", command={"update": {"log": ["by hand"]}, "goto": "second"}
    )
    assert values["log"] == ["first plain", "second", "by hand", "second"]


async def test_cancelling_a_run(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    run = (await client.runs.create(thread, "slow", input=SLOW))["run_id"]
    await until(client, thread, run, "running")
    assert (await client.threads.get(thread))["status"] == "busy"
    await client.runs.cancel(thread, run, wait=True)
    assert (await client.runs.get(thread, run))["status"] == "interrupted"
    with pytest.raises(ConflictError):
        await client.runs.cancel(thread, run)
    assert (await client.threads.get(thread))["status"] != "busy"


async def test_cancelling_all_that_run(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    run = (await client.runs.create(thread, "slow", input=SLOW))["run_id"]
    async with asyncio.timeout(60):
        while (await client.runs.get(thread, run))["status"] != "interrupted":
            await client.runs.cancel_many(status="running")
    second = (await client.runs.create(thread, "slow", input=SLOW))["run_id"]
    await client.runs.cancel_many(thread_id=thread, run_ids=[second])
    await until(client, thread, second, "interrupted")
    with pytest.raises(UnprocessableEntityError):
        await client.runs.cancel_many(run_ids=[second])


async def test_rolling_back_forgets_the_run_and_what_it_wrote(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "steps", input={"log": ["kept"]})
    before = await client.threads.get_state(thread)
    run = (await client.runs.create(thread, "slow", input=SLOW))["run_id"]
    await until(client, thread, run, "running")
    await client.runs.cancel(thread, run, wait=True, action="rollback")
    with pytest.raises(NotFoundError):
        await client.runs.get(thread, run)
    after = await client.threads.get_state(thread)
    assert (after["values"], after["checkpoint"]) == (before["values"], before["checkpoint"])


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_run_that_pushes_another_aside(client: LangGraphClient, strategy: Any) -> None:
    thread = (await client.threads.create())["thread_id"]
    first = (await client.runs.create(thread, "slow", input=SLOW))["run_id"]
    await until(client, thread, first, "running")
    values = await client.runs.wait(thread, "steps", input={"log": ["two"]}, multitask_strategy=strategy)
    runs = {run["run_id"]: run["status"] for run in await client.runs.list(thread)}
    if strategy == "rollback":
        assert values["log"] == ["two", "first plain", "second"]
        assert first not in runs
    else:
        assert values["log"][:1] == ["slow"]
        assert runs[first] == "interrupted"


async def test_a_run_that_waits_and_one_that_is_refused(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    first = (await client.runs.create(thread, "slow", input=SLOW))["run_id"]
    second = await client.runs.create(thread, "steps", input={"log": []}, multitask_strategy="enqueue")
    assert second["status"] == "pending"
    with pytest.raises(ConflictError):
        await client.runs.create(thread, "steps", input={"log": []}, multitask_strategy="reject")
    await until(client, thread, first, "running")
    await client.runs.cancel(thread, first)
    await client.runs.join(thread, second["run_id"])
    assert (await client.runs.get(thread, second["run_id"]))["status"] == "success"


async def test_a_run_from_an_earlier_checkpoint(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "steps", input={"log": []})
    history = await client.threads.get_history(thread)
    [fork] = [state["checkpoint"] for state in history if state["next"] == ["second"]]
    values = await client.runs.wait(thread, "steps", input=None, checkpoint=fork)
    assert values["log"] == ["first plain", "second"]


async def test_a_missing_thread_is_made_if_wanted(client: LangGraphClient) -> None:
    thread = str(uuid.uuid4())
    with pytest.raises(NotFoundError):
        await client.runs.create(thread, "steps", input={"log": []})
    values = await client.runs.wait(thread, "steps", input={"log": []}, if_not_exists="create")
    assert values["log"]
    assert (await client.threads.get(thread))["metadata"]["graph_id"] == "steps"


async def test_a_run_starts_later(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    later = (await client.runs.create(thread, "steps", input={"log": []}, after_seconds=3600))["run_id"]
    values = await client.runs.wait(thread, "steps", input={"log": ["now"]})
    assert values["log"][0] == "now"
    assert (await client.runs.get(thread, later))["status"] == "pending"
    await client.runs.cancel(thread, later)
    assert (await client.runs.get(thread, later))["status"] == "interrupted"


async def test_a_batch(client: LangGraphClient) -> None:
    payload: Any = {"assistant_id": "steps", "input": {"log": []}}
    runs = await client.runs.create_batch([payload, payload])
    assert len({run["run_id"] for run in runs}) == 2


async def test_bad_requests_say_what_is_wrong(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    with pytest.raises(NotFoundError, match="nobody"):
        await client.runs.create(thread, "nobody", input={})
    with pytest.raises(UnprocessableEntityError, match="stream_mode"):
        await client.runs.create(thread, "steps", input={}, stream_mode="nonsense")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        await client.runs.get(thread, str(uuid.uuid4()))
    with pytest.raises(NotFoundError):
        await client.runs.cancel(thread, "nothing")
