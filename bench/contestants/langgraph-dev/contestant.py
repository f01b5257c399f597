"""LangGraph's own development server, asked over HTTP as its SDK does it. It keeps everything in memory: NOT durable.

langgraph-cli 0.4.40 with langgraph-api 0.16.7: `langgraph dev` with its defaults (10 jobs at once), without its reloader, one
thread and one `runs.wait` per agent. A run is lost with the process; it writes a copy of its memory to `.langgraph_api` now and then.
`cpu_seconds` is the server's, and not the client's.
"""

import asyncio
import json
import os
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import agents
import httpx
import psutil
from langgraph_sdk import get_client
from protocol import Agent, Stack, main

HERE = Path(__file__).resolve().parent
START_SECONDS = 60
NODE_CALLS = 100_000


class ServerStack(Stack):
    def __init__(self, url: str, server: psutil.Process, ticks: Path) -> None:
        super().__init__()
        self.facts["durable"] = False
        self._client, self._server, self._ticks = get_client(url=url), server, ticks

    async def run(self, agent: Agent) -> int:
        thread = await self._client.threads.create()
        result = await self._client.runs.wait(
            thread["thread_id"],
            agents.graph_of(agent),
            input=agents.state_of(agent),
            config={"recursion_limit": agents.limit_of(agent)},
        )
        return len(result["messages"])

    async def stored(self, agents: list[Agent]) -> dict[str, int]:
        return {}

    def ticks(self) -> list[float]:
        return [tick for (tick,) in struct.iter_unpack("d", self._ticks.read_bytes()) if tick]

    def processor_seconds(self) -> float:
        times = [process.cpu_times() for process in (self._server, *self._server.children(recursive=True))]
        return sum(spent.user + spent.system for spent in times)


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncIterator[ServerStack]:
    folder = Path(given["folder"])
    ticks, log = folder / "ticks", folder / "log"
    graphs = {name: f"{HERE / 'served.py'}:{name}" for name in ("steps", "branches")}
    (folder / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": graphs}))
    ticks.write_bytes(bytes(8 * NODE_CALLS))
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "langgraph_cli",
        "dev",
        "--no-browser",
        "--no-reload",
        "--port",
        str(port),
    ]
    quiet = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false", "BENCH_TICKS": str(ticks)}
    with log.open("w") as out:
        server = psutil.Popen(command, cwd=folder, env=os.environ | quiet, stdout=out, stderr=out)
    try:
        url = f"http://127.0.0.1:{port}"
        await answers(url, server, log)
        yield ServerStack(url, psutil.Process(server.pid), ticks)
    finally:
        server.terminate()
        server.wait(30)


async def answers(url: str, server: psutil.Popen, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    async with httpx.AsyncClient() as client:
        while time.monotonic() < until and server.poll() is None:
            with suppress(httpx.TransportError):
                if (await client.get(f"{url}/ok")).is_success:
                    return
            await asyncio.sleep(0.2)
    said = (await asyncio.to_thread(log.read_text)).strip().splitlines() or ["nothing in its log"]
    raise RuntimeError(f"langgraph dev did not start: {said[-1]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main(opened)
