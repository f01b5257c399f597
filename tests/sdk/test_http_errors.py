"""What is not a request is answered, with `detail` and never with 500."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from perdure.errors import ConfigError
from perdure.server.http_settings import http_settings


@pytest.fixture
async def http(stack: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:
        yield client


async def test_it_says_who_it_is(http: httpx.AsyncClient) -> None:
    assert (await http.get("/ok")).json() == {"ok": True}
    assert (await http.get("/info")).json()["flags"]["assistants"] is True
    assert (await http.get("/docs")).status_code == 200
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert "/threads/{thread_id}/runs/stream" in paths


async def test_pages_of_this_machine_may_use_it(http: httpx.AsyncClient) -> None:
    async def allowed(origin: str) -> str | None:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return (await http.options("/threads", headers=asked)).headers.get("Access-Control-Allow-Origin")

    assert await allowed("http://localhost:3000") == "http://localhost:3000"
    assert await allowed("https://example.com") is None
    assert await allowed("http://localhost.example.com") is None
    with pytest.raises(ConfigError, match=r"http\.cors\.allow_origins"):
        http_settings({"cors": {"allow_origins": "*"}})
    assert http_settings({"cors": {"allow_origins": ["*"]}}).cors.allow_origins == ["*"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"assistant_id": 5}'])
async def test_bodies_that_are_none(http: httpx.AsyncClient, content: bytes) -> None:
    for path in ("/runs/wait", "/threads/x/runs", "/assistants", "/store/items/search", "/runs/cancel"):
        answer = await http.post(path, content=content, headers={"Content-Type": "application/json"})
        if path == "/store/items/search" and answer.status_code == 200:
            continue
        assert (path, answer.status_code) == (path, 422)
        assert isinstance(answer.json()["detail"], str)


async def test_fields_that_do_not_fit_are_named(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs/wait", json={"assistant_id": "steps", "stream_mode": ["nope"]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.stream_mode.0"
    answer = await http.post("/runs/wait", json={"assistant_id": "steps", "webhook": "http://x"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.webhook")


async def test_inputs_of_any_kind(http: httpx.AsyncClient) -> None:
    for given in (5, "text", [1], {"log": 5}, {"other": 1}, {}, None, {"$type": "x"}, {"log": ["\ud800"]}):
        content = json.dumps({"assistant_id": "steps", "input": given})
        answer = await http.post("/runs/wait", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 422), (given, answer.text)
    configs: list[Any] = [{"recursion_limit": "x"}, {"recursion_limit": -1}, {"configurable": 5}, {"tags": 5}]
    for config in configs:
        answer = await http.post(
            "/runs/wait", json={"assistant_id": "steps", "input": {"log": []}, "config": config}
        )
        assert answer.status_code in (200, 422), (config, answer.text)


async def test_a_field_that_is_null_is_not_given(http: httpx.AsyncClient) -> None:
    absent: list[Any] = [
        "command", "config", "context", "metadata", "checkpoint", "checkpoint_id", "stream_mode", "webhook",
        "stream_subgraphs", "interrupt_before", "multitask_strategy", "if_not_exists", "on_disconnect",
        "on_completion", "after_seconds",
    ]  # fmt: skip
    body = {"assistant_id": "steps", "input": {"log": []}, **dict.fromkeys(absent)}
    answer = await http.post("/runs/wait", json=body)
    assert (answer.status_code, answer.json()) == (200, {"log": ["first plain", "second"]})
    answer = await http.post("/runs/wait", json={**body, "command": {"resume": None}})
    assert answer.json() == {"log": ["first plain", "second"]}


async def test_methods_and_paths_that_are_none(http: httpx.AsyncClient) -> None:
    assert (await http.put("/threads")).status_code == 405
    assert (await http.get("/nothing")).status_code == 404
    assert "detail" in (await http.get("/nothing")).json()


async def test_unknown_things(http: httpx.AsyncClient) -> None:
    thread, run = str(uuid.uuid4()), str(uuid.uuid4())
    for path in (
        f"/threads/{thread}",
        f"/threads/{thread}/state",
        f"/threads/{thread}/runs",
        f"/threads/{thread}/runs/{run}",
        f"/threads/{thread}/runs/{run}/join",
        f"/threads/{thread}/runs/{run}/stream",
        f"/assistants/{run}",
        "/threads/" + "x" * 2000,
        "/threads/%00",
        "/threads/%F0%9F%98%80",
    ):
        assert (path, (await http.get(path)).status_code) == (path, 404)
    for path in (f"/threads/{thread}/runs/{run}/cancel", f"/threads/{thread}/copy"):
        assert (path, (await http.post(path)).status_code) == (path, 404)


async def test_pages_that_are_none(http: httpx.AsyncClient) -> None:
    for query in ("limit=0", "limit=x", "offset=-1", "limit=99999999999999999999"):
        assert (await http.get(f"/threads/x/runs?{query}")).status_code == 422
    assert (await http.post("/threads/search", json={"limit": 10**9})).status_code == 422
    assert (await http.post("/threads/search", json={"metadata": {"a' OR 'b": "\\'"}})).status_code == 200


async def test_what_is_too_large(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    body = {"assistant_id": "steps", "input": {"log": ["x" * 21_000_000]}}
    assert (await http.post(f"/threads/{thread}/runs/wait", json=body)).status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(22):
            yield b" " * 1_000_000

    answer = await http.post("/runs/wait", content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    for depth in (300, 900, 5000):
        nested = b"[" * depth + b"]" * depth
        content = b'{"assistant_id": "steps", "input": {"log": ' + nested + b"}}"
        answer = await http.post("/runs/wait", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400, 413, 422), (depth, answer.text)


async def test_answers_to_nothing_and_to_nobody(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    resume = {"assistant_id": "asking", "command": {"resume": "x"}}
    assert (await http.post(f"/threads/{thread}/runs/wait", json=resume)).status_code == 409
    assert (await http.post("/runs/wait", json=resume)).status_code == 400
    await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "asking", "input": {"log": []}})
    resume["command"] = {"resume": {"f" * 32: "x"}}
    assert (await http.post(f"/threads/{thread}/runs/wait", json=resume)).status_code == 409
    goto = {"assistant_id": "asking", "command": {"goto": {"no": "node"}}}
    assert (await http.post(f"/threads/{thread}/runs/wait", json=goto)).status_code == 422
