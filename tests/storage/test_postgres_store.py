"""The store in a real Postgres, where one is installed; what is said when none answers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from perdure.errors import ConfigError
from perdure.storage.store import StoreSetting, WorkerStore
from perdure.testing import PerdureEnvironment

pytest.importorskip("langgraph.store.postgres")

_INITDB = shutil.which("initdb")


class State(TypedDict):
    count: int


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a new database, on loopback, gone with the test."""
    if _INITDB is None:
        pytest.skip("needs Postgres's initdb on the PATH")
    # Postgres refuses to run as root; its folder must be reachable for whoever it runs as.
    user: dict[str, Any] = {"user": "nobody"} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="perdure-postgres-"))
    try:
        if user:
            shutil.chown(folder, "nobody")
        data, port = str(folder / "data"), free_port()
        init = [_INITDB, "-D", data, "-U", "agent", "--auth=trust", "--no-sync", "--encoding=UTF8"]
        subprocess.run(init, check=True, capture_output=True, cwd=folder, **user)
        server = Path(os.path.realpath(_INITDB)).with_name("postgres")
        options = ["-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
        with subprocess.Popen(
            [server, *options],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **user,
        ) as process:
            url = f"postgresql://agent:secret@127.0.0.1:{port}/postgres"
            try:
                _wait_for(url)
                yield url
            finally:
                process.send_signal(signal.SIGINT)
    finally:
        shutil.rmtree(folder)


def _wait_for(url: str) -> None:
    import psycopg

    for _ in range(600):
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("Postgres does not answer")


async def test_runs_on_several_workers_share_it(database: str) -> None:
    async def note(state: State, runtime: Runtime[None]) -> dict[str, Any]:
        assert runtime.store is not None
        await runtime.store.aput(("notes",), f"note {state['count']}", {"text": "kept"})
        return {"count": len(await runtime.store.asearch(("notes",)))}

    builder = StateGraph(State)
    builder.add_node("note", note)
    builder.add_edge(START, "note")
    for count in (1, 2):
        async with PerdureEnvironment.start({"g": builder.compile()}, store=database) as env:
            assert await (await env.start("g", {"count": count})).result() == {"count": count}


async def test_workers_that_begin_at_a_time_set_it_up_once(database: str) -> None:
    url = database.replace("/postgres", "/template1")
    stores = [WorkerStore(StoreSetting(url, ttl={"default_ttl": 60})) for _ in range(3)]

    async def use(store: WorkerStore, name: str) -> None:
        async with store.opened():
            assert store.current is not None
            await store.current.aput(("notes",), name, {"text": "x"})

    await asyncio.gather(*(use(store, str(number)) for number, store in enumerate(stores)))
    async with stores[0].opened():
        assert stores[0].current is not None
        assert len(await stores[0].current.asearch(("notes",))) == 3


async def test_a_database_that_does_not_answer_keeps_the_worker_from_starting() -> None:
    store = WorkerStore(StoreSetting(f"postgresql://agent:secret@127.0.0.1:{free_port()}/agents"))
    with pytest.raises(ConfigError, match=r"'postgresql://127\.0\.0\.1/agents' cannot be used") as caught:
        store.check()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_the_extra_the_setting_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from perdure.errors import ConfigError\n"
        "from perdure.storage.store import StoreSetting, WorkerStore\n"
        "try: WorkerStore(StoreSetting('postgresql://host/name'))\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "install perdure[postgres]" in done.stdout
