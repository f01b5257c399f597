"""Measures the HTTP server: its delay, its runs beside `langgraph dev`, its lists, its load.

    python bench/server.py [first-token] [wait] [list] [load] [idle] [--threads 10000] [--broker redis] [--json results.json]

The server, its worker and a dev server with a database on disk run in one child process, as `perdure dev` runs them;
`langgraph dev` in another, where `make compare-server` has made its environment. Peers are asked in turn, in one run. With
`--broker redis` the server and the worker are two processes, as `perdure serve` and `perdure worker` are, and a `redis-server` of
this machine is between them.

| row         | what is measured                                                                             | limit |
|-------------|----------------------------------------------------------------------------------------------|-------|
| first-token | median first token through the server, after that of the model itself, by 30 ms; the thread is  | 1     |
|             | at rest (`first_token_at_once_ms`: the run comes at the end of the one before)                  |       |
| token       | median way of a token from the model to the client, by 30 ms                                  | 1     |
| wait        | median `runs/wait` of a one-node graph by 1.5 × that of `langgraph dev`                       | 1     |
| list        | 95th percentile of `threads/search` among many threads, by 200 ms                             | 1     |
| load        | events that 200 concurrent streaming runs lost or told out of order                           | 0     |
| idle        | memory that 1,000 idle stream clients cost the server, by 200 MB                              | 1     |
| left        | tasks that are left in the server when clients have gone away, and runs ended                 | 0     |

On a busy machine times mean little; `busy` tells the load of the machine per core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import psutil

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / "tests" / part) for part in ("peer", "streams"))]

import served_graphs as graphs  # noqa: E402
from record import peer  # noqa: E402
from redis_server import RedisServer  # noqa: E402

PARTS = ("first-token", "wait", "list", "load", "idle")
# Long enough for a thread to be at rest: the end of its run is told before Temporal has written it.
REST_SECONDS = 0.2
WORD = {"role": "user", "content": "hi"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--threads", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--peer", type=Path, default=Path(".perdure/peer"))
    parser.add_argument("--broker", choices=("memory", "redis"), default="memory")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    told: dict[str, Any] = {"busy": round(os.getloadavg()[0] / (os.cpu_count() or 1), 1)}
    with _broker(given.broker) as broker, _served(broker) as (url, process):
        for part in given.parts:
            told |= asyncio.run(_MEASURES[part](url, process, given))
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
    if given.json:
        given.json.write_text(json.dumps(told, indent=2))


async def first_token(url: str, process: psutil.Process, given: argparse.Namespace) -> dict[str, Any]:
    """Each in turn: the model itself, a run of a thread at rest, and one more at once."""
    direct: list[float] = []
    rested: list[float] = []
    at_once: list[float] = []
    ways: list[float] = []
    model = graphs.Speaking()
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        for _ in range(given.repeat + 3):
            start = time.perf_counter()
            async for _ in model.astream("hi"):
                break
            direct.append(time.perf_counter() - start)
            await asyncio.sleep(REST_SECONDS)
            for times in (rested, at_once):
                first, told = await _spoken(http, thread)
                times.append(first)
                ways += told
    alone = median(direct[3:])
    later, hurried = median(rested[3:]) - alone, median(at_once[3:]) - alone
    way = median(ways)
    return {
        "first_token_ms": _ms(later),
        "first-token": round(later / 0.030, 2),
        "first_token_at_once_ms": _ms(hurried),
        "token_ms": _ms(way),
        "token": round(way / 0.030, 2),
    }


async def _spoken(http: httpx.AsyncClient, thread: str) -> tuple[float, list[float]]:
    """Seconds until a run's first token, and those that each further one took from the model to here."""
    body = {"assistant_id": "speaking", "input": {"messages": [WORD]}, "stream_mode": "messages-tuple"}
    start, first, ways = time.perf_counter(), 0.0, list[float]()
    async for event, data in _events(http, f"/threads/{thread}/runs/stream", body):
        if event == "messages" and data[0]["type"] == "AIMessageChunk":
            if not first:
                first = time.perf_counter() - start
            elif data[0]["content"]:
                ways.append(time.time() - float(data[0]["content"].split()[-1]))
    return first, ways


async def wait(url: str, process: psutil.Process, given: argparse.Namespace) -> dict[str, Any]:
    """Interleaved with the peer, each on a thread of its own and on one that is there."""
    python = given.peer / "bin" / "python"
    if not python.exists():
        return {"wait": f"no peer in {given.peer}: make compare-server"}
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    with peer(python.absolute(), HERE / "served_graphs.py", graphs.NAMES) as theirs:
        async with (
            httpx.AsyncClient(base_url=url, timeout=60) as our_http,
            httpx.AsyncClient(base_url=theirs, timeout=60) as their_http,
        ):
            known = {"ours": our_http, "theirs": their_http}
            threads = {
                name: (await http.post("/threads", json={})).json()["thread_id"]
                for name, http in known.items()
            }
            for _ in range(given.repeat + 3):
                for name, http in known.items():
                    start = time.perf_counter()
                    body = {"assistant_id": "one_node", "input": {"messages": [WORD]}}
                    answer = await http.post(f"/threads/{threads[name]}/runs/wait", json=body)
                    times[name].append(time.perf_counter() - start)
                    assert answer.status_code == 200, answer.text
    ours, their = median(times["ours"][3:]), median(times["theirs"][3:])
    return {
        "wait_ms": _ms(ours),
        "wait_peer_ms": _ms(their),
        "wait": round(ours / (1.5 * their), 2),
    }


async def listing(url: str, process: psutil.Process, given: argparse.Namespace) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, timeout=3600) as http:
        start = time.perf_counter()
        (await http.post("/bench/threads", params={"count": given.threads})).raise_for_status()
        made = time.perf_counter() - start
        while (await http.post("/threads/count", json={})).json() < given.threads:  # noqa: ASYNC110 - the server's
            await asyncio.sleep(0.5)
        bodies = ({}, {"metadata": {"owner": "user-7"}}, {"status": "idle", "limit": 50}, {"offset": 100})
        times: dict[str, list[float]] = {}
        for _ in range(given.repeat):
            for body in bodies:
                start = time.perf_counter()
                answer = await http.post("/threads/search", json=body)
                times.setdefault(json.dumps(body), []).append(time.perf_counter() - start)
                assert answer.status_code == 200, answer.text
                assert answer.json()
    worst = {body: quantiles(each, n=20)[-1] for body, each in times.items()}
    return {
        "threads": given.threads,
        "made_per_second": round(given.threads / made),
        "list_p95_ms": {body: _ms(value) for body, value in worst.items()},
        "list": round(max(worst.values()) / 0.2, 2),
    }


async def load(url: str, process: psutil.Process, given: argparse.Namespace) -> dict[str, Any]:
    async with httpx.AsyncClient(
        base_url=url, timeout=600, limits=httpx.Limits(max_connections=None)
    ) as http:
        before = (await http.get("/bench")).json()

        async def one() -> int:
            body = {"assistant_id": "counting", "input": {"count": graphs.COUNT}, "stream_mode": "custom"}
            told = [data async for event, data in _events(http, "/runs/stream", body) if event == "custom"]
            return sum(one != other for one, other in zip(told, range(graphs.COUNT), strict=False)) + abs(
                len(told) - graphs.COUNT
            )

        start = time.perf_counter()
        wrong = await asyncio.gather(*(one() for _ in range(given.runs)))
        took = time.perf_counter() - start
        left = await _left(http, before)
    return {
        "load_events": given.runs * graphs.COUNT,
        "load_seconds": round(took, 1),
        "load": sum(wrong),
        "left_after_load": left,
    }


async def idle(url: str, process: psutil.Process, given: argparse.Namespace) -> dict[str, Any]:
    """Clients of some runs that say nothing; then all of them go away at once. Twice: what the first wave leaves behind, the
    second can use."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as http:
        runs: list[dict[str, Any]] = []
        for _ in range(10):
            thread = (await http.post("/threads", json={})).json()["thread_id"]
            body = {"assistant_id": "silent", "input": {"messages": [WORD]}}
            runs.append((await http.post(f"/threads/{thread}/runs", json=body)).json())
        await asyncio.sleep(2)
        before, memory = (await http.get("/bench")).json(), process.memory_info().rss
        first = await _wave(http, runs, given.clients, process) - memory
        left = await _left(http, before)
        second = await _wave(http, runs, given.clients, process) - memory
        left = max(left, await _left(http, before))
        await http.post("/runs/cancel", json={"status": "all"})
        await asyncio.gather(*(http.get(f"/threads/{r['thread_id']}/runs/{r['run_id']}/join") for r in runs))
    return {
        "idle_mb": round(first / 1e6, 1),
        "idle_second_wave_mb": round(second / 1e6, 1),
        "idle": round(max(first, second) / 200e6, 2),
        "left": left,
    }


async def _wave(
    http: httpx.AsyncClient, runs: list[dict[str, Any]], count: int, process: psutil.Process
) -> int:
    """The server's memory while so many clients listen."""
    there = asyncio.Semaphore(0)

    async def listen(run: dict[str, Any]) -> None:
        place = f"/threads/{run['thread_id']}/runs/{run['run_id']}/stream"
        async with http.stream("GET", place) as answer:
            async for _ in answer.aiter_bytes():
                there.release()

    clients = [asyncio.create_task(listen(runs[number % len(runs)])) for number in range(count)]
    for _ in clients:
        await there.acquire()
    await asyncio.sleep(8)
    memory = process.memory_info().rss
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return memory


async def _left(http: httpx.AsyncClient, before: dict[str, int]) -> int:
    """Tasks more than before, when they have had half a minute to go."""
    for _ in range(60):
        now = (await http.get("/bench")).json()
        if now["tasks"] <= before["tasks"]:
            return 0
        await asyncio.sleep(0.5)
    return now["tasks"] - before["tasks"]


async def _events(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Any:
    async with http.stream("POST", path, json=body) as answer:
        answer.raise_for_status()
        event = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                yield event, json.loads(line[6:])


@contextmanager
def _broker(kind: str) -> Iterator[list[str]]:
    """The address of a Redis, or none."""
    if kind == "memory":
        yield []
        return
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as redis:
        yield [redis.url]


@contextmanager
def _served(broker: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "served.py"), folder, *broker]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdin is not None
        try:
            yield child.stdout.readline().strip(), psutil.Process(child.pid)
        finally:
            child.stdin.close()
            child.wait(60)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


_MEASURES: dict[str, Callable[..., Any]] = {
    "first-token": first_token,
    "wait": wait,
    "list": listing,
    "load": load,
    "idle": idle,
}

if __name__ == "__main__":
    main()
