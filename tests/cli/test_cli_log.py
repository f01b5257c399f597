"""What a worker logs as JSON: where it belongs, and once, however often a workflow is replayed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

CODE = """
import asyncio, logging
from typing import TypedDict
from langgraph.graph import START, StateGraph
from perdure.cli.worker_log import log_to_stderr
from perdure.testing import PerdureEnvironment

class State(TypedDict):
    count: int

failed = []

def add(state):
    logging.getLogger("shop").warning("adding")
    if not failed:
        failed.append(1)
        raise ConnectionError("away")
    return {"count": state["count"] + 1}

def more(state):
    logging.getLogger("shop").warning("more? %s", state["count"])
    return "add" if state["count"] < 3 else "__end__"

async def main():
    builder = StateGraph(State)
    builder.add_node(add)
    builder.add_edge(START, "add")
    builder.add_conditional_edges("add", more)
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"count": 0}, thread_id="t-1")
        await run.result()

log_to_stderr(debug=False)
asyncio.run(main())
"""


def test_json_lines_say_where_and_are_not_repeated_at_a_replay(env: dict[str, str]) -> None:
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(
        command, env={**env, "PERDURE_LOG": "json"}, capture_output=True, text=True, timeout=100, check=True
    )
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stderr.splitlines() if line[:1] == "{"]
    said = [line["message"] for line in lines]
    assert said == ["adding", "attempt failed", "adding", "more? 1", "adding", "more? 2", "adding", "more? 3"]
    assert {line["thread"] for line in lines} == {"t-1"}
    about = {"graph": "g", "node": "add", "step": 1, "attempt": 1}
    failed = next(line for line in lines if line["message"] == "attempt failed")
    assert about.items() <= failed.items()
    assert (failed["error"]["type"], failed["error"]["message"]) == ("ConnectionError", "away")
    routed = [line["step"] for line in lines if line["message"].startswith("more?")]
    assert routed == [1, 2, 3]
    [run] = {line["run"] for line in lines if line["message"].startswith("more?")}
    assert run
    assert {line["graph"] for line in lines} == {"g"}
    assert [line.get("attempt") for line in lines if line["message"] == "adding"] == [1, 2, 1, 1]
