"""Stored payloads that are gone, damaged or out of reach: the run ends and says why, or the process never starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from temporalio.worker import Worker
from typing_extensions import TypedDict

from perdure import connect
from perdure.client.connect import connect_temporal
from perdure.errors import ConfigError, RunFailed
from perdure.storage.unreadable import PayloadUnreadable
from perdure.testing import PerdureEnvironment
from perdure.worker.plugin import PerdurePlugin

SIZE = 1_000_000


class State(TypedDict):
    value: Any


def graph() -> Any:
    def grow(state: State) -> dict[str, Any]:
        return {"value": "x" * SIZE}

    def ask(state: State) -> dict[str, Any]:
        return {"value": [state["value"], interrupt("ok?")]}

    builder = StateGraph(State)
    builder.add_node("grow", grow)
    builder.add_node("ask", ask)
    builder.add_edge(START, "grow")
    builder.add_edge("grow", "ask")
    return builder.compile()


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def failure(run: Any) -> RunFailed:
    async with asyncio.timeout(60):
        with pytest.raises(RunFailed) as caught:
            await run.result()
    return caught.value


async def attempts_of(run: Any) -> int:
    """How often the workflow task under way failed."""
    raw: Any = (await run.handle.describe()).raw_description
    return int(raw.pending_workflow_task.attempt) - 1 if raw.HasField("pending_workflow_task") else 0


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "is not in"),
        (lambda path: path.write_bytes(b"cut"), "is damaged (3 bytes"),
    ],
    ids=["deleted", "cut off"],
)
async def test_a_run_whose_input_is_lost_ends_and_says_why(
    tmp_path: Path, harm: Callable[[Path], Any], said: str
) -> None:
    async with PerdureEnvironment.start({"g": graph()}, payloads=tmp_path.as_uri(), worker=False) as env:
        run = await env.start("g", {"value": "i" * SIZE})
        for path in stored(tmp_path):
            harm(path)
        async with env.worker():
            error = await failure(run)
    assert error.cause_type == "PayloadUnreadable"
    assert said in str(error)
    assert str(tmp_path) in str(error)


async def test_a_worker_that_was_not_told_of_the_storage_says_so(tmp_path: Path) -> None:
    async with PerdureEnvironment.start({"g": graph()}, payloads=tmp_path.as_uri(), worker=False) as env:
        run = await env.start("g", {"value": "i" * SIZE})
        untold = PerdurePlugin({"g": graph()}, payloads="none")
        address = env.client.service_client.config.target_host
        client = await connect_temporal(address, plugins=[untold], wait=timedelta(seconds=10))
        async with Worker(client, task_queue=env.task_queue):
            error = await failure(run)
    assert error.cause_type == "PayloadUnreadable"
    assert "set PERDURE_PAYLOADS" in str(error)


async def test_a_client_that_was_not_told_of_the_storage_says_so(tmp_path: Path) -> None:
    async with PerdureEnvironment.start({"g": graph()}, payloads=tmp_path.as_uri()) as env:
        run = await env.start("g", {"value": "small"}, thread_id="t")
        [pending] = await run.wait_for_approvals()
        await run.resume({pending.id: "yes"})
        await run.result()
        address = env.client.service_client.config.target_host
        untold = await connect(address, payloads="none", wait=timedelta(seconds=10))
        with pytest.raises(PayloadUnreadable, match=r"'perdure\.folder'.*set PERDURE_PAYLOADS"):
            await untold.temporal.get_workflow_handle("t").result()
        told = await connect(address, payloads=tmp_path.as_uri(), wait=timedelta(seconds=10))
        assert (await told.temporal.get_workflow_handle("t").result())["value"][1] == "yes"


async def test_a_payload_lost_while_the_run_waits_holds_it_until_the_file_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its later history stands on the value, so nothing can be decided without it."""
    async with PerdureEnvironment.start(
        {"g": graph()}, payloads=tmp_path.as_uri(), time_skipping=False
    ) as env:
        run = await env.start("g", {"value": "small"})
        await run.wait_for_approvals()
        lost = {path: path.read_bytes() for path in stored(tmp_path)}
        for path in lost:
            path.unlink()
        with pytest.raises(RunFailed):
            await run.state()
        assert f"is not in '{tmp_path}'" in caplog.text
        answering = asyncio.create_task(run.resume("yes"))
        async with asyncio.timeout(60):
            while not await attempts_of(run):  # noqa: ASYNC110 - the server is waited for
                await asyncio.sleep(0.1)
        for path, data in lost.items():
            path.write_bytes(data)
        await answering
        assert (await run.result())["value"][1] == "yes"


async def test_a_worker_with_a_folder_that_cannot_be_written_to_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = (tmp_path / "file" / "folder").as_uri()
    async with PerdureEnvironment.start({"g": graph()}, payloads=folder, worker=False) as env:
        with pytest.raises(ConfigError, match="cannot be written to"):
            env.worker()
