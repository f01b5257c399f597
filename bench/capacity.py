"""Measures the constants of `ten_million.py`: what a step, a waiting thread and a replay take of a worker and of the database.

    python bench/capacity.py [--steps 300] [--waiting 300]

One worker in this process, a dev server with its database on disk in another. Processor time, memory and counts of requests:
they hold on a busy machine, too, as far as times do.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from server_metrics import database_requests
from servers import dev_server
from temporalio.client import Client
from temporalio.worker import Worker

from perdure.client.client import PerdureClient
from perdure.client.connect import connect_temporal
from perdure.contract import names
from perdure.worker.plugin import PerdurePlugin

QUEUE = "capacity"
TEXT = "a fairly long answer of a model, " * 60


def graphs(steps: int) -> dict[str, Any]:
    async def work(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(TEXT)]}

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("user", str(interrupt("may I?")))]}

    looping = StateGraph(MessagesState).add_node("work", work).add_edge(START, "work")
    looping.add_conditional_edges("work", lambda s: "work" if len(s["messages"]) < steps else "__end__")
    asking = StateGraph(MessagesState).add_node("work", work).add_node("ask", ask)
    asking.add_edge(START, "work").add_edge("work", "ask")
    return {"looping": looping.compile(), "asking": asking.compile()}


async def settled(client: Client) -> Counter[str]:
    await asyncio.sleep(2.5)
    return await asyncio.to_thread(database_requests, client.service_client.config.target_host)


async def looping(client: Client, perdure: PerdureClient, steps: int) -> dict[str, Any]:
    before = await settled(client)
    cpu, wall = time.process_time(), time.perf_counter()
    handle = await perdure.start(
        "looping", {"messages": []}, thread_id="long", config={"recursion_limit": steps + 5}
    )
    await handle.result()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    made = await settled(client) - before
    info = (await client.get_workflow_handle("long").describe()).raw_description.workflow_execution_info
    return {
        "cpu_ms_per_step": 1000 * cpu / steps,
        "wall_ms_per_step": 1000 * wall / steps,
        "transitions_of_last_run": info.state_transition_count,
        "database_per_step": {k: round(v / steps, 2) for k, v in sorted(made.items()) if v > steps / 20},
    }


async def waiting(client: Client, perdure: PerdureClient, threads: int) -> dict[str, Any]:
    """Threads that ask: with their workflows in memory, and without."""
    process = psutil.Process()
    gc.collect()
    before, requests = process.memory_info().rss, await settled(client)
    cpu = time.process_time()
    handles = [await perdure.start("asking", {"messages": []}, thread_id=f"asks-{n}") for n in range(threads)]
    for handle in handles:
        await handle.wait_for_approvals()
    cpu = time.process_time() - cpu
    gc.collect()
    cached = (process.memory_info().rss - before) / threads
    made = await settled(client) - requests
    size = 0
    for handle in handles[:20]:
        size += (await handle.handle.describe()).raw_description.workflow_execution_info.history_size_bytes
    return {
        "rss_bytes_per_cached_thread": round(cached),
        "cpu_ms_per_thread_until_it_asks": 1000 * cpu / threads,
        "history_bytes_of_a_waiting_thread": size / min(20, threads),
        "database_per_thread": {
            k: round(v / threads, 2) for k, v in sorted(made.items()) if v > threads / 20
        },
    }


async def replaying(address: str, payloads: str, steps: int, threads: int) -> dict[str, Any]:
    """A worker that knows nothing: a long thread's replay, and those of many short ones."""
    client, _ = await connected(address, payloads, steps)
    told: dict[str, Any] = {}
    async with Worker(client, task_queue=QUEUE):
        for name, ids in (("long", ["long"]), ("waiting", [f"asks-{n}" for n in range(threads)])):
            cpu = time.process_time()
            for thread in ids:
                await client.get_workflow_handle(thread).query(names.QUERY_STATE)
            told[f"replay_cpu_ms_{name}"] = 1000 * (time.process_time() - cpu) / len(ids)
    return told


async def connected(address: str, payloads: str, steps: int) -> tuple[Client, PerdureClient]:
    client = await connect_temporal(address, plugins=[PerdurePlugin(graphs(steps), payloads=payloads)])
    return client, PerdureClient(client, task_queue=QUEUE)


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    payloads = (folder / "payloads").as_uri()
    async with dev_server(folder) as server:
        client, perdure = await connected(server.address, payloads, options.steps)
        async with Worker(client, task_queue=QUEUE):
            told = await looping(client, perdure, options.steps)
            told |= await waiting(client, perdure, options.waiting)
        return told | await replaying(server.address, payloads, options.steps, min(50, options.waiting))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what ten_million.py reckons with.")
    parser.add_argument("--steps", type=int, default=150, help="of one run; at most 175, to have one history")
    parser.add_argument("--waiting", type=int, default=300, help="threads that ask something")
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
        told = asyncio.run(measure(parser.parse_args(), Path(folder)))
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    # Workflows that wait would be collected one after the other, each with a complaint.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
