"""`perdure dev` and `perdure serve` with the real SDK; a kill in the middle of a stream."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
from langgraph_sdk import get_client, get_sync_client

pytestmark = pytest.mark.xdist_group("cli")

AGENT = """
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.types import interrupt
    from langchain_core.language_models import FakeListChatModel

    model = FakeListChatModel(responses=["word " * 40], sleep=0.02)

    def before(state: MessagesState):
        return {"messages": [("ai", "first of all")]}

    async def speak(state: MessagesState):
        return {"messages": [await model.ainvoke(state["messages"])]}

    def ask(state: MessagesState):
        return {"messages": [("ai", interrupt("go on?"))]}

    def chain(*nodes):
        builder = StateGraph(MessagesState)
        builder.add_sequence(nodes)
        builder.add_edge(START, nodes[0].__name__)
        return builder.compile()

    talk = chain(before, speak)
    asking = chain(ask)
"""
HI = {"messages": [{"role": "user", "content": "hi"}]}


@contextmanager
def lines_of(folder: Path, env: dict[str, str], *arguments: str) -> Iterator[Callable[[str], str]]:
    """A `perdure` process, for as long as the block runs; the function waits for a line."""
    command = [sys.executable, "-m", "perdure.cli", *arguments]
    popen = subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert popen.stderr is not None
        for line in popen.stderr:
            lines.put(line)

    reader = threading.Thread(target=read)
    reader.start()

    def until(text: str) -> str:
        while text not in (line := lines.get(timeout=60)):
            pass
        return line

    until.popen = popen  # type: ignore[attr-defined]
    try:
        yield until
        popen.send_signal(signal.SIGINT)
        assert popen.wait(timeout=30) == 0
    finally:
        popen.kill()
        popen.wait()
        reader.join()


def measured(url: str) -> str:
    """On loopback there are metrics without being asked for."""
    with urlopen(f"{url}/metrics") as answer:
        return str(answer.read().decode())


@pytest.fixture
def project(tmp_path: Path, write_project: Callable[..., Path]) -> Path:
    return write_project(tmp_path, {"talk": "./agent.py:talk", "asking": "./agent.py:asking"}, AGENT)


async def test_a_stream_goes_on_after_its_server_and_its_worker_were_killed(
    project: Path, env: dict[str, str]
) -> None:
    with lines_of(project, env, "dev", "--no-browser", "--no-reload", "--n-jobs-per-worker", "7") as until:
        url = until("API").split()[-1]
        until("worker ready")
        killed = False
        told: list[Any] = []
        async with get_client(url=url) as client:
            thread = (await client.threads.create())["thread_id"]
            async for part in client.runs.stream(
                thread, "talk", input=HI, stream_mode=["values", "messages-tuple"]
            ):
                told.append(part)
                if not killed and part.event == "messages" and len(told) > 30:
                    children = psutil.Process(until.popen.pid).children(recursive=True)  # type: ignore[attr-defined]
                    [worker] = [p for p in children if "worker" in p.cmdline()]
                    os.kill(worker.pid, signal.SIGKILL)
                    killed = True
            assert killed
            assert told[-1].event == "values"
            assert [m["content"] for m in told[-1].data["messages"]] == ["hi", "first of all", "word " * 40]
            [run] = await client.runs.list(thread)
            assert run["status"] == "success"
            assert (await client.threads.get_state(thread))["values"] == told[-1].data
        assert 'route="/threads/{thread_id}/state"' in measured(url)


def test_serve_alone_beside_a_worker(project: Path, env: dict[str, str]) -> None:
    with lines_of(project, env, "dev", "--in-memory", "--no-http") as dev:
        address = dev("Temporal").split()[-1]
        dev("worker ready")
        port = "21024"
        with lines_of(project, env, "serve", "--address", address, "--port", port) as serve:
            url = serve("serving asking, talk at").split()[-1]
            with get_sync_client(url=url) as client:
                thread = client.threads.create()["thread_id"]
                asked: Any = client.runs.wait(thread, "asking", input=HI)
                assert asked["__interrupt__"][0]["value"] == "go on?"
                told = list(client.runs.stream(thread, "asking", command={"resume": "yes"}))
                assert [part.event for part in told] == ["metadata", "values"]
                assert told[-1].data["messages"][-1]["content"] == "yes"
            about = 'method="POST",route="/threads/{thread_id}/runs/wait",service_name="temporal-core-sdk",status="200"'
            assert f"perdure_http_latency_seconds_count{{{about}}} 1" in measured(url)
            assert "perdure_process_memory_bytes" in measured(url)
            command = [sys.executable, "-m", "perdure.cli", "serve", "--address", address, "--port", port]
            taken = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
            assert taken.returncode == 2
            assert f"cannot listen on 127.0.0.1:{port}" in taken.stderr
