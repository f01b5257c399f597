"""Custom authentication (`auth.path`): whoever is not known gets nothing, and nobody what is another's."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langgraph_sdk import Auth, get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError
from sdk_auth import auth, bare

from perdure.errors import ConfigError
from perdure.server.access_rules import RULES
from perdure.server.authentication import Authenticator
from perdure.server.http_settings import http_settings

if TYPE_CHECKING:
    from sdk_stack import Stack

PUBLIC = {"GET /ok", "GET /info", "GET /"}
HEADERS = {"configurable_headers": {"include": ["x-*", "authorization"], "exclude": ["x-secret"]}}


@pytest.fixture(scope="module")
def url(stack: Stack) -> Iterator[str]:
    with stack.serving(authenticator=Authenticator(auth), settings=http_settings(HEADERS)) as started:
        yield started


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        yield client


def as_user(url: str, name: str) -> LangGraphClient:
    return get_client(url=url, headers={"Authorization": f"Bearer {name}", "X-Tenant": "acme"})


@pytest.fixture
def ann(url: str) -> LangGraphClient:
    return as_user(url, "ann")


@pytest.fixture
def bob(url: str) -> LangGraphClient:
    return as_user(url, "bob")


async def refused(work: Any) -> int:
    with pytest.raises((APIStatusError, httpx.HTTPStatusError)) as caught:
        await work
    return caught.value.response.status_code


async def routes(http: httpx.AsyncClient) -> list[tuple[str, str]]:
    paths: dict[str, Any] = (await http.get("/openapi.json")).json()["paths"]
    return [(method.upper(), path) for path, item in paths.items() for method in item]


async def test_nobody_passes_without_credentials(http: httpx.AsyncClient) -> None:
    tried = 0
    for method, path in await routes(http):
        if f"{method} {path}" in PUBLIC:
            continue
        filled = path.replace("{", "").replace("}", "")
        for headers in ({}, {"Authorization": "Bearer mallory"}, {"X-Auth-Scheme": "langsmith"}):
            answer = await http.request(method, filled, json={}, headers=headers)
            assert (method, path, answer.status_code) == (method, path, 401)
            assert answer.json() == {"detail": "who are you?"}
        tried += 1
    assert tried > 40
    for path in ("/nothing", "/threads/", "/threads/a/b/c/d", "//threads", "/Threads/x"):
        assert (await http.get(path)).status_code == 401, path
    for path in ("/ok", "/info", "/docs", "/openapi.json"):
        assert (await http.get(path)).status_code == 200, path


async def test_every_route_has_a_rule(http: httpx.AsyncClient) -> None:
    missing = {f"{method} {path}" for method, path in await routes(http)} - PUBLIC - set(RULES)
    assert missing == set()


async def test_whoever_is_known_gets_the_routers_own_answers(http: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer ann"}
    assert (await http.get("/nothing", headers=headers)).status_code == 404
    assert (await http.put("/threads", headers=headers)).status_code == 405
    assert (await http.post("/threads", content=b"[]", headers=headers)).status_code == 422
    assert (await http.post("/threads", content=b"{", headers=headers)).status_code == 422
    assert (await http.get("/threads/unknown", headers=headers)).status_code == 404


async def test_handlers_say_the_status_and_leak_nothing(http: httpx.AsyncClient) -> None:
    async def get(name: str) -> httpx.Response:
        return await http.get("/threads/x", headers={"Authorization": f"Bearer {name}"})

    async def delete(thread_id: str) -> httpx.Response:
        return await http.delete(f"/threads/{thread_id}", headers={"Authorization": "Bearer ann"})

    broken = await get("broken")
    assert (broken.status_code, "hunter2" in broken.text) == (500, False)
    late = await get("late")
    assert (late.status_code, late.json(), late.headers["retry-after"]) == (429, {"detail": "later"}, "7")
    raised = await delete("raise")
    assert (raised.status_code, "hunter2" in raised.text) == (500, False)
    assert (await delete("teapot")).status_code == 418
    asserted = await delete("asserted")
    assert (asserted.status_code, asserted.json()["detail"]) == (403, "not this one")


async def test_a_thread_is_its_owners(ann: LangGraphClient, bob: LangGraphClient, url: str) -> None:
    made = await ann.threads.create(metadata={"owner": "bob", "topic": "bees"})
    thread_id = made["thread_id"]
    assert made["metadata"]["owner"] == "ann"
    own = await ann.runs.wait(thread_id, "steps", input={"log": []})
    assert own["log"] == ["first plain", "second"]
    [run] = await ann.runs.list(thread_id)
    calls = [
        bob.threads.get(thread_id),
        bob.threads.update(thread_id, metadata={"x": 1}),
        bob.threads.delete(thread_id),
        bob.threads.copy(thread_id),
        bob.threads.get_state(thread_id),
        bob.threads.get_history(thread_id),
        bob.threads.update_state(thread_id, {"log": ["mine"]}),
        bob.runs.create(thread_id, "steps", input={"log": []}),
        bob.runs.create(thread_id, "steps", input={"log": []}, if_not_exists="create"),
        bob.runs.wait(thread_id, "steps", input={"log": []}),
        bob.runs.list(thread_id),
        bob.runs.get(thread_id, run["run_id"]),
        bob.runs.join(thread_id, run["run_id"]),
        bob.runs.cancel(thread_id, run["run_id"]),
        bob.runs.delete(thread_id, run["run_id"]),
        bob.threads.prune([thread_id]),
        anext(aiter(bob.runs.stream(thread_id, "steps", input={"log": []}))),
        anext(aiter(bob.runs.join_stream(thread_id, run["run_id"]))),
    ]
    for call in calls:
        assert await refused(call) == 404, call
    for method in ("state.get", "state.listCheckpoints", "agent.getTree", "state.fork"):
        body = {"id": 1, "method": method, "params": {"checkpoint_id": "1"}}
        headers = {"Authorization": "Bearer bob"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as http:
            told = (await http.post(f"/threads/{thread_id}/commands", json=body)).json()
        assert told["message"] == f"Thread with ID {thread_id} not found"
    assert await refused(bob.threads.create(thread_id=thread_id, if_exists="do_nothing")) == 409
    again = await ann.threads.create(thread_id=thread_id, if_exists="do_nothing")
    assert again["thread_id"] == thread_id
    root = as_user(url, "root")
    assert (await root.threads.get(thread_id))["metadata"]["owner"] == "ann"
    assert (await ann.threads.get_state(thread_id))["values"]["log"] == ["first plain", "second"]


async def test_a_thread_that_two_make_at_once_is_one_of_theirs(
    ann: LangGraphClient, bob: LangGraphClient
) -> None:
    users = {"ann": ann, "bob": bob}

    async def run(name: str, thread_id: str) -> Any:
        return await users[name].runs.wait(
            thread_id, "steps", input={"log": [name]}, if_not_exists="create", raise_error=False
        )

    for first, second in (("ann", "bob"), ("bob", "ann"), ("ann", "bob")):
        thread_id = str(uuid.uuid4())
        answers = await asyncio.gather(run(first, thread_id), run(second, thread_id), return_exceptions=True)
        [got] = [answer for answer in answers if isinstance(answer, dict)]
        [error] = [answer for answer in answers if isinstance(answer, httpx.HTTPStatusError)]
        assert error.response.status_code == 404
        [owner] = {name for name in got["log"] if name in users}
        assert (await users[owner].threads.get(thread_id))["metadata"]["owner"] == owner
        assert len(await users[owner].runs.list(thread_id)) == 1


async def test_lists_have_ones_own_alone(ann: LangGraphClient, bob: LangGraphClient) -> None:
    topic = uuid.uuid4().hex
    for client, number in ((ann, 2), (bob, 1)):
        for _ in range(number):
            await client.threads.create(metadata={"topic": topic})
    async with asyncio.timeout(30):
        while await ann.threads.count(metadata={"topic": topic}) != 2:  # noqa: ASYNC110 - lists lag
            await asyncio.sleep(0.1)
        while await bob.threads.count(metadata={"topic": topic}) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    found = await ann.threads.search(metadata={"topic": topic}, limit=10)
    assert {thread["metadata"]["owner"] for thread in found} == {"ann"}
    # A search for another's finds nothing, and `value["metadata"]` is what is searched for.
    assert {t["metadata"]["owner"] for t in await bob.threads.search(metadata={"owner": "ann"})} <= {"bob"}


async def test_assistants_are_filtered_too(ann: LangGraphClient, bob: LangGraphClient, url: str) -> None:
    made = await ann.assistants.create("steps", name="anns")
    assistant_id = made["assistant_id"]
    assert made["metadata"]["owner"] == "ann"
    assert (await bob.assistants.get("steps"))["graph_id"] == "steps"
    assert assistant_id in {a["assistant_id"] for a in await ann.assistants.search(limit=100)}
    assert assistant_id not in {a["assistant_id"] for a in await bob.assistants.search(limit=100)}
    for call in (
        bob.assistants.get(assistant_id),
        bob.assistants.get_graph(assistant_id),
        bob.assistants.get_schemas(assistant_id),
        bob.assistants.get_versions(assistant_id),
        bob.assistants.update(assistant_id, name="mine"),
        bob.assistants.set_latest(assistant_id, 1),
        bob.runs.wait(None, assistant_id, input={"log": []}),
    ):
        assert await refused(call) == 404, call
    assert (
        await refused(bob.assistants.create("steps", assistant_id=assistant_id, if_exists="do_nothing"))
        == 409
    )
    assert await refused(ann.assistants.delete(assistant_id)) == 403
    await as_user(url, "root").assistants.delete(assistant_id)


async def test_an_assistant_that_goes_takes_no_threads_of_others_along(
    bob: LangGraphClient, url: str
) -> None:
    made = await bob.assistants.create("steps")
    thread = await bob.threads.create()
    await bob.runs.wait(thread["thread_id"], made["assistant_id"], input={"log": []})
    # The handlers let root delete all assistants, and nobody's threads but its own.
    await as_user(url, "root").assistants.delete(made["assistant_id"], delete_threads=True)
    assert (await bob.threads.get(thread["thread_id"]))["metadata"]["owner"] == "bob"


async def test_everybody_has_a_memory_of_their_own(
    ann: LangGraphClient, bob: LangGraphClient, stack: Stack
) -> None:
    await ann.store.put_item(["notes"], "k", {"text": "anns"})
    await bob.store.put_item(["notes"], "k", {"text": "bobs"})
    assert (await ann.store.get_item(["notes"], "k"))["value"] == {"text": "anns"}
    assert [i["value"]["text"] for i in (await bob.store.search_items(["notes"]))["items"]] == ["bobs"]
    assert (await bob.store.list_namespaces())["namespaces"] == [["bob", "notes"]]
    await bob.store.delete_item(["notes"], "k")
    async with get_client(url=stack.url) as open_to_all:
        assert (await open_to_all.store.get_item(["ann", "notes"], "k"))["value"] == {"text": "anns"}


async def test_nodes_know_the_user_and_nobody_says_who_they_are(ann: LangGraphClient) -> None:
    spoofed: Any = {
        "configurable": {"langgraph_auth_user_id": "root", "langgraph_auth_user": {"identity": "root"}}
    }
    result = await ann.runs.wait(None, "whoami", input={"log": []}, config=spoofed)
    assert result.get("log", result) == ["ann", "ann", "ann", ["use"], "blue", "acme", None]


async def test_without_auth_nobody_says_who_they_are_either(stack: Stack) -> None:
    spoofed: Any = {"configurable": {"langgraph_auth_user_id": "root"}}
    async with get_client(url=stack.url) as client:
        result = await client.runs.wait(None, "whoami", input={"log": []}, config=spoofed)
    assert result["log"] == [None] * 7


async def test_runs_cancelled_by_status_are_ones_own(ann: LangGraphClient, bob: LangGraphClient) -> None:
    thread = await ann.threads.create()
    run = await ann.runs.create(thread["thread_id"], "slow", input={"log": ["slow"]})
    await bob.runs.cancel_many(status="all")
    assert (await ann.runs.get(thread["thread_id"], run["run_id"]))["status"] in ("pending", "running")
    await ann.runs.cancel(thread["thread_id"], run["run_id"], wait=True)


async def test_a_cron_is_its_makers_and_runs_as_its_maker(
    ann: LangGraphClient, bob: LangGraphClient, url: str, stack: Stack
) -> None:
    made = await ann.crons.create(
        "whoami", schedule="0 0 1 1 *", input={"log": []}, metadata={"kind": "new year"}
    )
    cron_id = made["cron_id"]
    assert made["metadata"] == {"kind": "new year", "owner": "ann"}
    others = await ann.threads.create()
    for call in (
        bob.crons.update(cron_id, schedule="0 0 2 1 *"),
        bob.crons.delete(cron_id),
        bob.crons.create_for_thread(others["thread_id"], "whoami", schedule="0 0 1 1 *", input={"log": []}),
    ):
        assert await refused(call) == 404, call
    assert (await bob.crons.search(), await bob.crons.count()) == ([], 0)
    assert [cron["cron_id"] for cron in await ann.crons.search()] == [cron_id]
    changed = await as_user(url, "root").crons.update(cron_id, enabled=False)
    assert changed["metadata"]["owner"] == "ann"
    job, _ = stack.do(stack.backend.crons.get(cron_id))
    told = job.request.config["configurable"]
    assert (told["langgraph_auth_user"].identity, told["langgraph_auth_user_id"]) == ("ann", "ann")
    assert job.thread.metadata["owner"] == "ann"
    await ann.crons.delete(cron_id)


async def test_an_authenticator_alone_lets_the_known_do_everything(stack: Stack) -> None:
    with stack.serving(authenticator=Authenticator(bare)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            assert (await http.post("/threads", json={})).status_code == 401
            key = {"X-Api-Key": "let me in"}
            thread = (await http.post("/threads", json={"metadata": {"a": 1}}, headers=key)).json()
            found = await http.get(f"/threads/{thread['thread_id']}", headers=key)
            assert found.json()["metadata"] == {"a": 1}
            answer = await http.post(
                "/runs/wait", json={"assistant_id": "whoami", "input": {"log": []}}, headers=key
            )
            assert answer.json()["log"][:3] == ["holder"] * 3


def test_what_is_no_auth_is_refused_at_the_start() -> None:
    asking = Auth()

    @asking.authenticate
    async def wants_more(token: str) -> str:
        return token

    for given, why in (
        (object(), "not a langgraph_sdk.Auth"),
        (Auth(), "without an @auth"),
        (asking, "'token'"),
    ):
        with pytest.raises(ConfigError, match=why):
            Authenticator(given)
