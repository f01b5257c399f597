"""`/a2a/{assistant_id}`: agents that other agents talk to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sdk_auth import auth

from perdure.server.authentication import Authenticator

if TYPE_CHECKING:
    from sdk_stack import Stack


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:
        yield client


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    kinds = [
        {"kind": "text", "text": p} if isinstance(p, str) else {"kind": "data", "data": p} for p in parts
    ]
    return {"message": {"kind": "message", "role": "user", "messageId": "m", "parts": kinds, **more}}


async def call(http: httpx.AsyncClient, agent: str, method: str, params: Any, **more: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    answer = (await http.post(f"/a2a/{agent}", json=body, **more)).json()
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
    return answer.get("result", answer.get("error"))


async def told(http: httpx.AsyncClient, agent: str, method: str, params: Any) -> list[Any]:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    async with http.stream("POST", f"/a2a/{agent}", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in answer.aiter_lines() if line.startswith("data: ")]
    return [json.loads(line[6:])["result"] for line in lines]


async def test_a_card_says_where_the_agent_is(http: httpx.AsyncClient, stack: Stack) -> None:
    card = (await http.get("/.well-known/agent-card.json", params={"assistant_id": "chat"})).json()
    assert (card["name"], card["capabilities"]["streaming"]) == ("chat", True)
    assert card["url"].startswith(f"{stack.url}/a2a/")
    assert (await http.get(card["url"] + "/.well-known/agent-card.json")).json() == card
    assert (await http.get("/.well-known/agent-card.json")).status_code == 422
    assert (await http.get("/a2a/nothing/.well-known/agent-card.json")).status_code == 404


async def test_a_message_is_a_task_that_ends(http: httpx.AsyncClient) -> None:
    task = await call(http, "chat", "message/send", message("hi"))
    assert (task["kind"], task["status"]["state"]) == ("task", "completed")
    assert task["artifacts"][0]["parts"] == [{"kind": "text", "text": "you said: hi"}]
    assert (await call(http, "chat", "tasks/get", {"id": task["id"]}))["artifacts"] == task["artifacts"]
    again = await call(http, "chat", "message/send", message("more", contextId=task["contextId"]))
    assert again["contextId"] == task["contextId"]
    assert (await call(http, "chat", "tasks/get", {"id": task["id"]}))["status"]["state"] == "completed"
    data = await call(http, "steps", "message/send", message({"log": ["zero"]}))
    assert data["artifacts"][0]["parts"][0]["data"] == {"log": ["zero", "first plain", "second"]}
    failed = await call(http, "failing", "message/send", message({"log": []}))
    assert failed["status"]["state"] == "failed"
    assert "no such customer" in failed["status"]["message"]["parts"][0]["text"]
    assert (await call(http, "failing", "tasks/get", {"id": failed["id"]}))["status"]["state"] == "failed"


@pytest.mark.parametrize("answer", ["go", {"plan": 1}])
async def test_a_question_is_answered_in_its_context(http: httpx.AsyncClient, answer: Any) -> None:
    task = await call(http, "counsel", "message/send", message("hi"))
    assert task["status"]["state"] == "input-required"
    assert task["status"]["message"]["parts"][0] == {"kind": "text", "text": "what now?"}
    assert (await call(http, "counsel", "tasks/get", {"id": task["id"]}))["status"][
        "state"
    ] == "input-required"
    done = await call(http, "counsel", "message/send", message(answer, taskId=task["id"]))
    assert done["artifacts"][0]["parts"][0]["text"] == f"told {answer}"


async def test_a_stream_tells_the_text_and_the_end(http: httpx.AsyncClient) -> None:
    events = await told(http, "chat", "message/stream", message("hi"))
    assert [event["kind"] for event in (events[0], events[1], events[-1])] == [
        "task",
        "artifact-update",
        "status-update",
    ]
    pieces = [event["artifact"]["parts"][0]["text"] for event in events if event["kind"] == "artifact-update"]
    assert "".join(pieces) == "you said: hi"
    assert (events[-1]["status"]["state"], events[-1]["final"]) == ("completed", True)
    again = await told(http, "chat", "tasks/resubscribe", {"id": events[0]["id"]})
    assert again[-1]["status"]["state"] == "completed"
    asked = await told(http, "counsel", "message/stream", message("hi"))
    assert asked[-1]["status"]["state"] == "input-required"


async def test_a_task_is_cancelled_once(http: httpx.AsyncClient) -> None:
    task = await call(
        http, "slow", "message/send", {**message({"log": ["slow"]}), "configuration": {"blocking": False}}
    )
    assert task["status"]["state"] == "submitted"
    async with asyncio.timeout(30):
        while (await call(http, "slow", "tasks/get", task))["status"]["state"] != "working":  # noqa: ASYNC110 - it is the run's
            await asyncio.sleep(0.05)
    assert (await call(http, "slow", "tasks/cancel", task))["status"]["state"] == "canceled"
    assert (await call(http, "slow", "tasks/cancel", task))["code"] == -32002


async def test_what_is_not_there_or_does_not_fit(http: httpx.AsyncClient) -> None:
    cases: list[tuple[str, str, Any, int]] = [
        ("nothing", "message/send", message("hi"), -32602),
        ("chat", "message/send", {}, -32602),
        ("chat", "message/send", {"message": {"parts": []}}, -32602),
        ("chat", "message/send", {"message": {"parts": [{"kind": "file", "file": {}}]}}, -32602),
        ("chat", "message/send", message("hi", taskId="x"), -32001),
        ("chat", "tasks/get", {"id": "nowhere:run"}, -32001),
        ("chat", "tasks/cancel", {"id": "x"}, -32001),
        ("chat", "tasks/list", {}, -32601),
    ]
    for agent, method, params, code in cases:
        assert (method, (await call(http, agent, method, params))["code"]) == (method, code)


async def test_a_context_is_its_owners(stack: Stack) -> None:
    ann, bob = ({"headers": {"Authorization": f"Bearer {name}"}} for name in ("ann", "bob"))
    with stack.serving(authenticator=Authenticator(auth)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            task = await call(http, "counsel", "message/send", message("hi"), **ann)
            assert task["status"]["state"] == "input-required"
            assert (await call(http, "counsel", "tasks/get", {"id": task["id"]}, **bob))["code"] == -32001
            assert (await call(http, "counsel", "tasks/cancel", {"id": task["id"]}, **bob))["code"] == -32001
            answer = message("go", contextId=task["contextId"])
            assert "code" in await call(http, "counsel", "message/send", answer, **bob)
            done = await call(http, "counsel", "message/send", answer, **ann)
            assert done["status"]["state"] == "completed"
