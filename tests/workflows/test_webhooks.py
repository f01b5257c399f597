"""Webhooks reach a real receiver that fails first, while workers die; nothing waits for them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import operator
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from temporalio.client import WorkflowFailureError
from typing_extensions import TypedDict

from perdure.activities.webhook_post import post
from perdure.contract.run import RunsRequest
from perdure.contract.thread import RunRequest
from perdure.errors import ConfigError
from perdure.graph.webhook_policy import WebhookPolicy, webhook_policy
from perdure.server.threads import ServedThreads
from perdure.testing import PerdureEnvironment

AGENT = """
import operator
from typing import Annotated

from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict


class State(TypedDict):
    log: Annotated[list[str], operator.add]


g = StateGraph(State).add_node("node", lambda state: {"log": ["said"]}).add_edge(START, "node").compile()
"""
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


def answer(state: State) -> dict[str, Any]:
    if state["log"] == ["bad"]:
        raise ValueError("bad input")
    return {"log": [AIMessage("done", id="1")]}


async def hang(state: State) -> dict[str, Any]:
    await asyncio.sleep(600)
    return {}


def graph(node: Any) -> Any:
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile()


def signature(headers: dict[str, str], body: bytes) -> str:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(b"k" * 32, signed, hashlib.sha256)).decode()


class Receiver:
    """Answers with the given statuses, then with 200; never while `slow` is set."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.slow = False
        self.requests: list[tuple[dict[str, str], bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((headers, body))
        if self.slow:
            await reader.read()  # until who asks is gone
            writer.close()
            return
        status = self.statuses.pop(0) if self.statuses else 200
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async def received(self, count: int) -> list[tuple[dict[str, str], Any]]:
        async with asyncio.timeout(60):
            while len(self.requests) < count:  # noqa: ASYNC110 - it comes from elsewhere
                await asyncio.sleep(0.05)
        return [(headers, json.loads(body)) for headers, body in self.requests]


class Served:
    def __init__(self, env: PerdureEnvironment, receiver: Receiver, url: str) -> None:
        self.env, self.receiver, self.url = env, receiver, url
        self.threads = ServedThreads(env.perdure, carry_every=1)
        self.id = uuid.uuid4().hex

    async def start(self, graph: str, input: Any, *, temporary: bool = False) -> str:
        request = RunRequest(
            id=uuid.uuid4().hex, input=input, graph=graph, ends_when_interrupted=True, webhook=self.url
        )
        await self.threads.start_run(self.id, request, create={}, temporary=temporary)
        return request.id


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setenv("PERDURE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("LG_WEBHOOK_TOKEN", "t0ken")
    policy = webhook_policy(
        {
            "url": {"allowed_domains": ["localhost"]},
            "headers": {"Authorization": "Bearer ${{ env.LG_WEBHOOK_TOKEN }}"},
        }
    )
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    url = f"http://localhost:{server.sockets[0].getsockname()[1]}/hook?a=b"
    graphs = {"g": graph(answer), "hang": graph(hang)}
    async with (
        server,
        PerdureEnvironment.start(graphs, time_skipping=False, worker=False, webhooks=policy) as env,
    ):
        yield Served(env, receiver, url)


@asynccontextmanager
async def dying(env: PerdureEnvironment) -> AsyncIterator[asyncio.Task[None]]:
    worker = asyncio.create_task(env.worker().run())
    try:
        yield worker
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def test_a_receiver_that_fails_is_told_later_also_by_another_worker(served: Served) -> None:
    served.receiver.statuses = [503, 500]
    async with dying(served.env):
        first = await served.start("g", {"log": []})
        await served.receiver.received(1)
    async with served.env.worker():
        # The next run does not wait for it.
        second = await served.start("g", {"log": ["more"]})
        assert (await served.threads.result(served.id, second))["log"][1] == "more"
        told = await served.receiver.received(4)
    of_first = [(headers, body) for headers, body in told if body["run_id"] == first]
    assert len(of_first) >= 2
    assert {headers["webhook-id"] for headers, _ in of_first} == {f"run_{first}"}
    headers, body = of_first[-1]
    assert (body["thread_id"], body["status"], body["kwargs"]["webhook"]) == (
        served.id,
        "success",
        served.url,
    )
    assert body["kwargs"]["input"] == {"log": []}
    assert body["values"]["log"][0]["content"] == "done"
    assert body["run_started_at"] <= body["run_ended_at"] <= body["webhook_sent_at"]
    assert "error" not in body
    assert headers["authorization"] == "Bearer t0ken"
    assert headers["host"].startswith("localhost:")
    raw = next(raw for known, raw in served.receiver.requests if known is headers)
    assert headers["webhook-signature"] == signature(headers, raw)


async def test_a_worker_that_is_killed_as_it_tells_a_receiver_is_followed_by_another_that_tells_the_same(
    served: Served, tmp_path: Path
) -> None:
    (tmp_path / "agent.py").write_text(AGENT)
    settings = {
        "graphs": {"g": "./agent.py:g"},
        "webhooks": {"url": {"allowed_domains": ["localhost"]}},
        "dependencies": ["."],
    }
    (tmp_path / "langgraph.json").write_text(json.dumps(settings))
    address = served.env.client.service_client.config.target_host
    place = ("--address", address, "--task-queue", served.env.task_queue)
    served.receiver.slow = True
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "perdure.cli", *place, "worker", cwd=tmp_path, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        run = await served.start("g", {"log": []})
        await served.receiver.received(1)
    finally:
        process.kill()
        await process.wait()
    served.receiver.slow = False
    async with served.env.worker():
        told = await served.receiver.received(2)
        handle = served.env.client.get_workflow_handle(f"{served.id}/webhook/{run}")
        assert await handle.result() == 200
    assert [headers["webhook-id"] for headers, _ in told] == [f"run_{run}"] * 2
    for headers, raw in served.receiver.requests:
        assert headers["webhook-signature"] == signature(headers, raw)
    one, other = ({**body, "webhook_sent_at": None} for _, body in told)
    assert one == other
    assert one["values"]["log"] == ["said"]


async def test_runs_that_fail_or_are_cancelled_or_had_a_thread_of_their_own_are_told_too(
    served: Served,
) -> None:
    async with served.env.worker():
        await served.start("hang", {"log": []})
        waiting = await served.start("g", {"log": []})
        await served.threads.cancel(served.id, waiting)
        [(_, body)] = await served.receiver.received(1)
        assert (body["run_id"], body["status"], body["run_started_at"]) == (waiting, "interrupted", None)
        served.id = uuid.uuid4().hex
        failing = await served.start("g", {"log": ["bad"]}, temporary=True)
        _, (_, body) = await served.receiver.received(2)
        assert (body["run_id"], body["status"]) == (failing, "error")
        assert "bad input" in body["error"]["message"]


async def test_what_may_not_be_told_is_not(served: Served) -> None:
    async with served.env.worker():
        served.url = served.url.replace("localhost", "127.0.0.1")
        run = await served.start("g", {"log": []})
        await served.threads.result(served.id, run)
        assert [r.status for r in await served.threads.runs(served.id, RunsRequest())] == ["success"]
        handle = served.env.client.get_workflow_handle(f"{served.id}/webhook/{run}")
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert "allowed_domains" in str(failed.value.cause and failed.value.cause.__cause__)
    assert served.receiver.requests == []


async def test_no_more_of_an_answer_is_read_than_is_told() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %s X\r\n\r\n" % (b"503" if b"/away" in head else b"200"))
        with suppress(ConnectionError):
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        for path, told in (("/", (200, "")), ("/away", (503, "x" * 200))):
            assert await post(url + path, b"{}", {}, problem=lambda host, address: None) == told


@pytest.mark.parametrize(
    ("rules", "url", "problem"),
    [
        ({}, "https://example.com/hook", None),
        ({}, "/hook", "whole URL"),
        ({}, "ftp://example.com", "whole URL"),
        ({}, "http://[", "not a URL"),
        ({}, "http://example.com:99999/", "not a URL"),
        ({}, "http://localhost/", "not public"),
        ({}, "http://127.0.0.1:8000/", "not public"),
        ({}, "http://[::1]/", "not public"),
        ({}, "http://169.254.169.254/latest", "not public"),
        ({}, "http://10.1.2.3/", "not public"),
        ({"allowed_domains": ["10.1.2.3"]}, "http://10.1.2.3/", None),
        ({"allowed_domains": ["*.example.com"]}, "https://a.example.com/", None),
        ({"allowed_domains": ["*.example.com"]}, "https://example.com/", "not among"),
        ({"require_https": True}, "http://example.com/", "must be https"),
        ({"allowed_ports": [443]}, "https://example.com/", None),
        ({"allowed_ports": [443]}, "http://example.com/", "port 80"),
        ({"max_url_length": 20}, "https://example.com/123", "more than 20"),
    ],
)
def test_which_urls_are_taken(rules: dict[str, Any], url: str, problem: str | None) -> None:
    told = WebhookPolicy.model_validate({"url": rules}).problem(url)
    assert (told is None) if problem is None else (told is not None and problem in told)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"webhooks\.url\.alowed_domains"):
        webhook_policy({"url": {"alowed_domains": []}})
    with pytest.raises(ConfigError, match="LG_WEBHOOK_"):
        webhook_policy({"headers": {"X": "${{ env.HOME }}"}}).filled_headers({"HOME": "/"})
    assert webhook_policy({}, {"disable_webhooks": True}).problem("https://example.com") is not None
