"""Long-term memory: LangGraph's store in nodes and tools, chosen by setting, shared by processes."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.config import get_store
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedStore, ToolNode
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict

from perdure.errors import ConfigError
from perdure.storage.store import StoreSetting, WorkerStore
from perdure.testing import PerdureEnvironment


class State(TypedDict):
    seen: list[Any]


def url_of(path: Path) -> str:
    return f"sqlite://{path}"


def remembering(**options: Any) -> Any:
    """Puts what it is given, by each way to the store that a node has, and tells all that is there."""

    async def by_runtime(state: State, runtime: Runtime[None]) -> dict[str, Any]:
        assert runtime.store is not None
        await runtime.store.aput(("notes",), "runtime", {"text": "from the runtime"})
        return {}

    def by_parameter(state: State, *, store: BaseStore) -> dict[str, Any]:
        store.put(("notes",), "parameter", {"text": "from the parameter"})
        return {}

    async def by_context(state: State) -> dict[str, Any]:
        found = await get_store().asearch(("notes",))
        return {"seen": sorted(item.key for item in found)}

    builder = StateGraph(State)
    for node in (by_runtime, by_parameter, by_context):
        builder.add_node(node)
    builder.add_edge(START, "by_runtime")
    builder.add_edge("by_runtime", "by_parameter")
    builder.add_edge("by_parameter", "by_context")
    return builder.compile(**options)


def recalling() -> Any:
    builder = StateGraph(State)
    builder.add_node("recall", recall)
    builder.add_edge(START, "recall")
    return builder.compile()


async def recall(state: State, runtime: Runtime[None]) -> dict[str, Any]:
    if runtime.store is None:
        return {"seen": ["no store"]}
    return {"seen": sorted(item.key for item in await runtime.store.asearch(("notes",)))}


async def result_of(graph: Any, **options: Any) -> Any:
    async with PerdureEnvironment.start({"g": graph}, **options) as env:
        return (await (await env.start("g", {"seen": []})).result())["seen"]


async def test_what_nodes_remember_is_there_for_the_next_worker(tmp_path: Path) -> None:
    store = url_of(tmp_path / "made at need" / "store.db")
    assert await result_of(remembering(), store=store) == ["parameter", "runtime"]
    assert await result_of(recalling(), store=store) == ["parameter", "runtime"]


async def test_the_store_is_open_while_any_of_two_workers_runs(tmp_path: Path) -> None:
    store = WorkerStore(StoreSetting(url_of(tmp_path / "store.db")))
    async with store.opened():
        first = store.current
        async with store.opened():
            assert store.current is first
        assert first is not None
        await first.aput(("notes",), "1", {})
    assert store.current is None
    async with store.opened():
        assert store.current not in (None, first)


async def test_tools_have_the_store() -> None:
    @tool
    async def note(text: str, store: Annotated[BaseStore, InjectedStore()]) -> str:
        """Note."""
        await store.aput(("notes",), "tool", {"text": text})
        return f"{len(await store.asearch(('notes',)))} notes"

    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode([note]))
    builder.add_edge(START, "tools")
    call = AIMessage("", tool_calls=[{"name": "note", "args": {"text": "x"}, "id": "1"}])
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        result = await (await env.start("g", {"messages": [call]})).result()
    assert result["messages"][-1].content == "1 notes"


async def test_a_graphs_own_store_wins() -> None:
    own, workers = InMemoryStore(), InMemoryStore()
    assert await result_of(remembering(store=own), store=workers) == ["parameter", "runtime"]
    assert await workers.asearch(("notes",)) == []
    assert len(await own.asearch(("notes",))) == 2


async def test_without_a_store_there_is_none() -> None:
    assert await result_of(recalling(), store="none") == ["no store"]


# -- the setting ---------------------------------------------------------------------------------------------------------


def test_a_setting_that_is_none_is_refused_without_showing_it() -> None:
    for setting in ("mysql://me:secret@host/name", "sqlite://store.db", "sqlite://", "store.db"):
        with pytest.raises(ConfigError, match=r"write 'sqlite:///folder/store\.db'") as caught:
            WorkerStore(StoreSetting(setting))
        assert "me:" not in str(caught.value)


def test_the_setting_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_STORE", url_of(tmp_path / "store.db"))
    WorkerStore(StoreSetting()).check()
    assert (tmp_path / "store.db").exists()
    WorkerStore(StoreSetting("none")).check()


async def test_a_store_that_cannot_be_used_keeps_the_worker_from_starting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("this is no database, and long enough for SQLite to see it" * 100)
    for path in (tmp_path / "file", tmp_path / "file" / "store.db"):
        async with PerdureEnvironment.start({"g": recalling()}, store=url_of(path), worker=False) as env:
            with pytest.raises(ConfigError, match="cannot be used"):
                env.worker()


def embed(texts: list[str]) -> list[list[float]]:
    return [[float("cat" in text), float("dog" in text), 0.1] for text in texts]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_an_index_is_searched_by_meaning(tmp_path: Path, kind: str) -> None:
    url = kind if kind == "memory" else url_of(tmp_path / "store.db")
    store = WorkerStore(StoreSetting(url, index={"dims": 3, "embed": embed, "fields": ["text"]}))
    if kind == "sqlite" and not hasattr(sqlite3.Connection, "enable_load_extension"):
        with pytest.raises(ConfigError, match="whose sqlite3 can load extensions"):
            store.check()
        return
    store.check()
    async with store.opened():
        assert store.current is not None
        await store.current.aput(("pets",), "1", {"text": "a cat", "other": "dog"})
        await store.current.aput(("pets",), "2", {"text": "a dog", "other": "cat"})
        [best, _] = await store.current.asearch(("pets",), query="my dog")
        assert best.key == "2"


async def test_what_has_a_time_to_live_is_swept(tmp_path: Path) -> None:
    # In minutes: the first sweep comes after a fraction of a second.
    ttl = {"default_ttl": 0.0001, "refresh_on_read": False, "sweep_interval_minutes": 0.005}
    path = tmp_path / "store.db"
    store = WorkerStore(StoreSetting(url_of(path), ttl=ttl))
    async with store.opened(), asyncio.timeout(60):
        assert store.current is not None
        await store.current.aput(("notes",), "1", {"text": "x"})
        assert count(path) == 1
        while count(path):  # noqa: ASYNC110 - the sweeper is waited for
            await asyncio.sleep(0.1)


def count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM store").fetchone()[0])
    finally:
        connection.close()


# -- several processes on one file -----------------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from perdure.storage.store import StoreSetting, WorkerStore

async def write(name, url):
    store = WorkerStore(StoreSetting(url))
    print("ready", flush=True)
    sys.stdin.readline()
    async with store.opened():
        for n in range(100):
            # What is asked for in one turn of the loop is one transaction, which reads first and writes then.
            await asyncio.gather(
                store.current.aget(("notes",), f"{name}-{n - 1}"),
                store.current.aput(("notes",), f"{name}-{n}", {"n": n}),
            )

asyncio.run(write(*sys.argv[1:]))
"""


def test_processes_that_begin_and_write_at_a_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, name, url_of(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b", "c")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=100)
        assert (process.returncode, errors) == (0, "")
    assert count(path) == 300
