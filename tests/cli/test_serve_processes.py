"""`perdure serve` and `perdure worker` in processes of their own, with Redis between them; each of the three is killed. Streams of
both protocols, many at once, a cron and its webhook survive it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from redis_server import RedisServer

from perdure.contract import names
from perdure.devserver import DevServer
from perdure.streams.broker import event_key

pytestmark = pytest.mark.xdist_group("cli")

SAID = " ".join(str(number) for number in range(50))
AGENT = f"""
    import asyncio

    from langgraph.config import get_stream_writer
    from langgraph.graph import START, MessagesState, StateGraph
    from langchain_core.language_models import FakeListChatModel

    model = FakeListChatModel(responses=["{SAID}"], sleep=0.03)

    async def speak(state: MessagesState):
        return {{"messages": [await model.ainvoke(state["messages"])]}}

    builder = StateGraph(MessagesState)
    builder.add_node(speak)
    builder.add_edge(START, "speak")
    talk = builder.compile()

    async def count(state: MessagesState):
        for number in range(50):
            get_stream_writer()(number)
            await asyncio.sleep(0.005)

    builder = StateGraph(MessagesState)
    builder.add_node(count)
    builder.add_edge(START, "count")
    counts = builder.compile()
"""
HI = {"messages": [{"role": "user", "content": "hi"}]}
MODES: Any = ["messages-tuple", "values"]


class Processes:
    """`start` returns once the process says that it is ready; with SIGKILL it says nothing more."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = env
        self._running: list[asyncio.subprocess.Process] = []

    async def start(self, *arguments: str) -> tuple[asyncio.subprocess.Process, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "perdure.cli", *arguments,
            cwd=self._folder, env=self._env, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._running.append(process)
        assert process.stderr is not None
        line = ""
        while "✓" not in line:
            line = (await process.stderr.readline()).decode()
            assert line, "the process has ended"
        return process, line.split()[-1]

    async def stop(self) -> None:
        for process in self._running:
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def started(folder: Path, env: dict[str, str], redis: RedisServer) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            DevServer(
                directory=folder / "temporal",
                port=None,
                ui_port=None,
                http_port=None,
                in_memory=True,
                search_attributes=names.SEARCH_ATTRIBUTES,
            )
        )
        processes = Processes(
            folder, {**env, "TEMPORAL_ADDRESS": server.address, "PERDURE_BROKER": redis.url}
        )
        stack.push_async_callback(processes.stop)
        yield processes


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def said(parts: list[Any]) -> str:
    return "".join(part.data[0]["content"] for part in parts if part.event == "messages")


def in_order(parts: list[Any]) -> bool:
    return all(event_key(a.id) < event_key(b.id) for a, b in pairwise(part for part in parts if part.id))


@pytest.mark.timeout(600)
async def test_streams_outlive_their_server_their_worker_and_their_redis(
    tmp_path: Path, env: dict[str, str], write_project: Callable[..., Path]
) -> None:
    project = write_project(
        tmp_path / "project", {"talk": "./agent.py:talk", "counts": "./agent.py:counts"}, AGENT
    )
    settings = json.loads((project / "langgraph.json").read_text())
    settings["webhooks"] = {"url": {"allowed_domains": ["127.0.0.1"]}}
    (project / "langgraph.json").write_text(json.dumps(settings))
    env |= {"PERDURE_WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"k" * 32).decode()}
    (tmp_path / "redis").mkdir()
    with RedisServer(tmp_path / "redis", persistent=True) as redis:
        async with started(project, env, redis) as processes:
            (worker, _), (first, url), (other, second) = await asyncio.gather(
                processes.start("worker"),
                processes.start("serve", "--port", free_port()),
                processes.start("serve", "--port", free_port()),
            )
            parts, thread, run = await until_killed(url, first)
            assert 10 < len(said(parts)) < len(SAID)
            async with get_client(url=second) as client:
                before = len(parts)
                restarted = False
                async for part in client.runs.join_stream(
                    thread, run, stream_mode=MODES, last_event_id=parts[-1].id
                ):
                    parts.append(part)
                    if not restarted and len(parts) == before + 20:
                        await asyncio.to_thread(redis.restart)
                        restarted = True
                assert restarted
                assert said(parts) == SAID
                assert in_order(parts)
                assert parts[-1].data["messages"][-1]["content"] == SAID
                late = [p async for p in client.runs.join_stream(thread, run, stream_mode=MODES)]
                assert late[1:] == parts[1:]

                parts = []
                async for part in client.runs.stream(thread, "talk", input=HI, stream_mode=MODES):
                    parts.append(part)
                    if len(parts) == 20:
                        worker.kill()
                        await worker.wait()
                        worker, _ = await processes.start("worker")
                [again] = [number for number, part in enumerate(parts) if part.event == "messages/retry"]
                assert SAID.startswith(said(parts[:again]))
                assert said(parts[again:]) == SAID
                assert in_order(parts)
                assert [m["content"] for m in parts[-1].data["messages"]] == ["hi", SAID, "hi", SAID]
            await many_at_once(second)
            await by_the_protocol(second, redis)
            await by_cron(second, processes, [other, worker])


async def many_at_once(url: str) -> None:
    """Runs that all speak at the same time: of each, every event, in its order."""
    async with get_client(url=url) as client:

        async def one() -> list[int]:
            stream = client.runs.stream(None, "counts", input=HI, stream_mode="custom")
            return [part.data async for part in stream if part.event == "custom"]

        assert await asyncio.gather(*(one() for _ in range(20))) == [list(range(50))] * 20


async def by_the_protocol(url: str, redis: RedisServer) -> None:
    """The agent protocol, with a Redis that is restarted while tokens come; then once more, from the last event seen."""
    async with get_client(url=url) as client:
        async with client.threads.stream(assistant_id="talk") as thread:
            await thread.run.start(input=HI)
            events = [event async for event in _restarting(thread.events, redis)]
        texts = [e["params"]["data"]["delta"]["text"] for e in events if _is_delta(e)]
        assert "".join(texts) == SAID
        assert all(a["seq"] < b["seq"] for a, b in pairwise(events))
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        body = {"channels": ["messages", "lifecycle"], "since": events[len(events) // 2]["seq"]}
        async with http.stream("POST", f"/threads/{thread.thread_id}/stream/events", json=body) as answer:
            rest: list[Any] = []
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    rest.append(json.loads(line[6:]))
                    if _is_end(rest[-1]):
                        break
    wanted = [e for e in events[len(events) // 2 + 1 :] if e["method"] in ("messages", "lifecycle")]
    assert rest == wanted


async def by_cron(url: str, processes: Processes, killed: list[asyncio.subprocess.Process]) -> None:
    """A cron that is due when neither its server nor a worker is there: a worker that comes runs it, and tells its webhook."""
    posts: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        posts.put_nowait((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    receiver = await asyncio.start_server(receive, "127.0.0.1", 0)
    hook = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/"
    async with receiver, get_client(url=url) as client:
        cron: Any = await client.crons.create("counts", schedule="@every 3s", input=HI, webhook=hook)
        for process in killed:
            process.kill()
            await process.wait()
        await asyncio.sleep(4)
        assert posts.empty()
        await processes.start("worker")
        told = [await asyncio.wait_for(posts.get(), 60) for _ in range(2)]
    for headers, body in told:
        run = json.loads(body)
        assert (run["status"], run["metadata"]["cron_id"]) == ("success", cron["cron_id"])
        signed = ".".join((headers["webhook-id"], headers["webhook-timestamp"], body.decode()))
        digest = hmac.new(b"k" * 32, signed.encode(), hashlib.sha256).digest()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert len({headers["webhook-id"] for headers, _ in told}) == 2


async def _restarting(events: AsyncIterator[Any], redis: RedisServer) -> AsyncIterator[Any]:
    deltas = 0
    async for event in events:
        yield event
        deltas += _is_delta(event)
        if deltas == 20 and _is_delta(event):
            await asyncio.to_thread(redis.restart)
        if _is_end(event):
            return


def _is_delta(event: Any) -> bool:
    return event["method"] == "messages" and "delta" in event["params"]["data"]


def _is_end(event: Any) -> bool:
    return event["method"] == "lifecycle" and event["params"]["data"]["event"] == "completed"


async def until_killed(url: str, server: asyncio.subprocess.Process) -> tuple[list[Any], str, str]:
    """What the client of a server got until that was killed; not with the SDK's own retries."""
    parts: list[Any] = []
    async with get_client(url=url) as client:
        thread = (await client.threads.create())["thread_id"]
        run = (await client.runs.create(thread, "talk", input=HI, stream_mode=MODES))["run_id"]
        try:
            async for part in client.runs.join_stream(thread, run, stream_mode=MODES):
                parts.append(part)
                if len(parts) == 20:
                    os.kill(server.pid, 9)
        except httpx.HTTPError:
            pass
    return parts, thread, run
