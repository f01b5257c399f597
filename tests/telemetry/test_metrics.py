"""Metrics as an OTLP collector gets them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Collector

CODE = """
import asyncio
from langchain_core.messages import AIMessage
from langchain.agents import create_agent
from perdure.cli.metrics import export_metrics
from perdure.testing import PerdureEnvironment, ScriptedChatModel

async def main():
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    agent = create_agent(ScriptedChatModel([AIMessage("hi", usage_metadata=usage)]), [])
    async with PerdureEnvironment.start({"agent": agent}) as env:
        await (await env.start("agent", {"messages": [("user", "hi")]})).result()
        input()

assert export_metrics(None)
asyncio.run(main())
"""


def test_metrics_go_where_the_standard_variables_say(collector: Collector) -> None:
    env = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
    }
    wanted = {"perdure_runs", "perdure_step_latency", "perdure_tokens", "perdure_history_bytes"}
    command = [sys.executable, "-c", CODE]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, text=True) as process:
        give_up = time.monotonic() + 60
        while not wanted <= collector.metrics and time.monotonic() < give_up:
            time.sleep(0.05)
        process.communicate("\n")
    assert wanted <= collector.metrics
    assert "temporal_workflow_completed" in collector.metrics
