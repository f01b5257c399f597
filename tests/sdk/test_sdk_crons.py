"""`client.crons` of the real SDK: Temporal Schedules, fired by their own trigger."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError
from temporalio.client import Client

from perdure.server.crons import cron_expressions

if TYPE_CHECKING:
    from sdk_stack import Stack


@pytest.fixture
async def temporal(stack: Stack) -> Client:
    return await Client.connect(stack.address)


async def fire(temporal: Client, cron: Any) -> None:
    await temporal.get_schedule_handle(f"perdure-cron-{cron['cron_id']}").trigger()


async def runs_of(client: LangGraphClient, thread_id: str, count: int) -> list[Any]:
    async with asyncio.timeout(60):
        while True:
            runs = await client.runs.list(thread_id)
            if len(runs) == count and all(run["status"] == "success" for run in runs):
                return runs
            await asyncio.sleep(0.05)


async def found(client: LangGraphClient, count: int, **where: Any) -> list[Any]:
    """Lists lag a little."""
    async with asyncio.timeout(60):
        while len(crons := await client.crons.search(**where)) != count:  # noqa: ASYNC110 - the server's
            await asyncio.sleep(0.1)
    return crons


async def test_a_cron_of_a_thread_goes_on_with_it_each_time(
    client: LangGraphClient, temporal: Client
) -> None:
    thread = (await client.threads.create())["thread_id"]
    cron: Any = await client.crons.create_for_thread(
        thread,
        "steps",
        schedule="* * * * *",
        input={"log": ["again"]},
        metadata={"by": "cron"},
        enabled=False,
    )
    assert (cron["thread_id"], cron["schedule"], cron["enabled"]) == (thread, "* * * * *", False)
    assert cron["next_run_date"] is None
    assert cron["payload"]["input"] == {"log": ["again"]}
    await fire(temporal, cron)
    await runs_of(client, thread, 1)
    await fire(temporal, cron)
    latest, _ = await runs_of(client, thread, 2)
    assert latest["metadata"]["by"] == "cron"
    assert latest["metadata"]["cron_id"] == cron["cron_id"]
    state = await client.threads.get_state(thread)
    assert state["values"]["log"].count("again") == 2
    await client.crons.delete(cron["cron_id"])
    with pytest.raises(NotFoundError):
        await client.crons.delete(cron["cron_id"])
    assert len(await client.runs.list(thread)) == 2


async def test_a_cron_is_not_for_a_thread_that_is_made_anew_under_the_same_id(
    client: LangGraphClient, temporal: Client
) -> None:
    thread = (await client.threads.create())["thread_id"]
    cron: Any = await client.crons.create_for_thread(
        thread, "steps", schedule="* * * * *", input={"log": ["cron"]}, enabled=False
    )
    await client.threads.delete(thread)
    await client.threads.create(thread_id=thread)
    schedule = temporal.get_schedule_handle(f"perdure-cron-{cron['cron_id']}")
    await schedule.trigger()
    async with asyncio.timeout(60):
        while not (started := (await schedule.describe()).info.recent_actions):  # noqa: ASYNC110 - the server's
            await asyncio.sleep(0.05)
    action: Any = started[0].action
    await temporal.get_workflow_handle(action.workflow_id).result()
    result: Any = await client.runs.wait(thread, "steps", input={"log": []})
    assert "cron" not in result["log"]
    assert len(await client.runs.list(thread)) == 1
    await client.crons.delete(cron["cron_id"])


async def test_a_cron_without_a_thread_makes_one_for_each_run(
    client: LangGraphClient, temporal: Client
) -> None:
    tag = uuid.uuid4().hex
    cron: Any = await client.crons.create(
        "steps",
        schedule="0 0 1 1 *",
        input={"log": ["alone"]},
        metadata={"tag": tag},
        context={"tone": "sharp"},
        on_run_completed="keep",
    )
    assert (cron["thread_id"], cron["on_run_completed"], cron["enabled"]) == (None, "keep", True)
    await fire(temporal, cron)
    async with asyncio.timeout(60):
        while not (threads := await client.threads.search(metadata={"tag": tag}, status="idle")):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert threads[0]["values"]["log"] == ["alone", "first sharp", "second"]
    [run] = await client.runs.list(threads[0]["thread_id"])
    assert run["metadata"]["cron_id"] == cron["cron_id"]
    await client.crons.delete(cron["cron_id"])


async def test_crons_are_found_changed_and_paused(client: LangGraphClient) -> None:
    tag = uuid.uuid4().hex
    ends = datetime.now(UTC) + timedelta(days=900)
    first: Any = await client.crons.create(
        "steps",
        schedule="0 9 * * 1-5",
        timezone=ZoneInfo("Europe/Berlin"),
        metadata={"tag": tag},
        end_time=ends,
    )
    second: Any = await client.crons.create("chat", schedule="@hourly", metadata={"tag": tag}, enabled=False)
    assert datetime.fromisoformat(first["next_run_date"]).astimezone(ZoneInfo("Europe/Berlin")).hour == 9
    assert datetime.fromisoformat(first["end_time"]) == ends
    both = await found(client, 2, metadata={"tag": tag})
    assert [cron["cron_id"] for cron in both] == [second["cron_id"], first["cron_id"]]
    [chat] = await client.crons.search(assistant_id="chat", metadata={"tag": tag})
    assert chat["cron_id"] == second["cron_id"]
    assert await client.crons.count(metadata={"tag": tag}, assistant_id=first["assistant_id"]) == 1
    [on] = await client.crons.search(enabled=True, metadata={"tag": tag})
    assert on["cron_id"] == first["cron_id"]
    [only] = await client.crons.search(metadata={"tag": tag}, limit=1, offset=1, select=["cron_id"])
    assert only == {"cron_id": first["cron_id"]}
    earlier = (ends - timedelta(hours=1)).astimezone(ZoneInfo("Asia/Tokyo"))
    third: Any = await client.crons.create("chat", schedule="@daily", metadata={"tag": tag}, end_time=earlier)
    await found(client, 3, metadata={"tag": tag})
    for order, numbers in (("asc", [third, first, second]), ("desc", [first, third, second])):
        listed: Any = await client.crons.search(metadata={"tag": tag}, sort_by="end_time", sort_order=order)
        assert [cron["cron_id"] for cron in listed] == [cron["cron_id"] for cron in numbers]
    [one] = await client.crons.search(metadata={"tag": tag}, limit=1, select=["now", "enabled"])
    assert datetime.fromisoformat(one["now"]) > datetime.fromisoformat(third["created_at"])

    changed = await client.crons.update(
        first["cron_id"], schedule="30 10 * * *", enabled=False, end_time=None, input={"log": []}
    )
    assert (changed["schedule"], changed["enabled"], changed["end_time"]) == ("30 10 * * *", False, None)
    assert changed["payload"]["input"] == {"log": []}
    assert (changed["timezone"], changed["metadata"]) == ("Europe/Berlin", {"tag": tag})
    again = await client.crons.update(first["cron_id"], enabled=True)
    assert (again["schedule"], again["enabled"]) == ("30 10 * * *", True)
    for cron in (*both, third):
        await client.crons.delete(cron["cron_id"])
    await found(client, 0, metadata={"tag": tag})


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"schedule": "now and then"}, "schedule"),
        ({"schedule": "0 0 0 1 1 *"}, "schedule"),
        ({"schedule": "61 * * * *"}, "Minute"),
        ({"schedule": "@daily", "timezone": "Mars/Olympus"}, "timezone"),
        ({"schedule": "@daily", "webhook": "http://127.0.0.1/"}, "webhook"),
        ({"schedule": "@daily", "multitask_strategy": "whatever"}, "multitask_strategy"),
    ],
)
async def test_wrong_crons_are_refused(client: LangGraphClient, options: dict[str, Any], field: str) -> None:
    with pytest.raises(UnprocessableEntityError, match=field):
        await client.crons.create("steps", **options)


async def test_unknown_crons_threads_and_assistants(client: LangGraphClient) -> None:
    unknown = str(uuid.uuid4())
    with pytest.raises(NotFoundError):
        await client.crons.update(unknown, enabled=True)
    with pytest.raises(NotFoundError):
        await client.crons.create_for_thread(unknown, "steps", schedule="@daily")
    with pytest.raises(NotFoundError):
        await client.crons.create("nothing", schedule="@daily")


def test_a_day_of_the_month_or_of_the_week() -> None:
    assert cron_expressions("0 0 1 * 1") == ["0 0 1 * *", "0 0 * * 1"]
    assert cron_expressions("0 0 1 * *") == ["0 0 1 * *"]
