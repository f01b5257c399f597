"""The embedded server against the real `temporal` executable, each in a folder of its own."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

from perdure.devserver import DevServer, DevServerError, DirectoryInUseError, find_temporal, running


def server(directory: Path, **options: object) -> DevServer:
    settings = {"directory": directory, "port": None, "ui_port": None, "http_port": None, **options}
    return DevServer(**settings)  # type: ignore[arg-type]


@pytest.fixture
async def in_memory(tmp_path: Path) -> AsyncIterator[DevServer]:
    async with server(tmp_path / ".perdure", in_memory=True) as started:
        yield started


async def until(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(0.05)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class Patient:
    """Waits for a signal, so that a test decides what happens meanwhile."""

    def __init__(self) -> None:
        self._name: str | None = None

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self._name is not None)
        await workflow.sleep(timedelta(milliseconds=10))
        return await workflow.execute_activity(
            greet, self._name, start_to_close_timeout=timedelta(seconds=10)
        )

    @workflow.signal
    def name(self, name: str) -> None:
        self._name = name


async def test_started_server_serves_its_namespace_and_tells_who_it_is(tmp_path: Path) -> None:
    attributes = {"PerdureGraph": "Keyword", "PerdureTags": "KeywordList"}
    directory = tmp_path / ".perdure"
    async with server(directory, in_memory=True, namespace="agents", search_attributes=attributes) as started:
        client = await Client.connect(started.address, namespace="agents")
        assert [run async for run in client.list_workflows("PerdureGraph = 'support'")] == []
        assert started.alive
        assert started.database is None
        assert psutil.Process(started.pid).name().startswith("temporal")
        assert started.version.split(".")[0].isdigit()
        assert running(directory) == started.info
        assert (directory / ".gitignore").read_text() == "*\n"
        assert started.log_path == directory / "temporal.log"
        assert started.log_path.stat().st_size > 0


async def test_everything_listens_on_loopback_and_http_is_where_it_says(in_memory: DevServer) -> None:
    listening = {
        connection.laddr
        for connection in psutil.Process(in_memory.pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.ip for address in listening} == {"127.0.0.1"}
    expected = {port_of(url) for url in (in_memory.address, in_memory.ui_url, in_memory.http_url)}
    assert expected <= {address.port for address in listening}


async def test_stop_leaves_no_process_and_may_be_called_again(tmp_path: Path) -> None:
    started = server(tmp_path)
    await started.start()
    own = psutil.Process(started.pid)
    ours = [own, *own.children(recursive=True)]
    await started.stop()
    await started.stop()
    assert not any(process.is_running() for process in ours)
    assert not started.alive
    assert running(tmp_path) is None
    with pytest.raises(DevServerError, match="not started"):
        _ = started.address


async def test_busy_ports_are_moved_away_from(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        async with server(tmp_path, in_memory=True, port=taken, http_port=taken) as started:
            ports = {port_of(url) for url in (started.address, started.ui_url, started.http_url)}
            assert taken not in ports
            assert len(ports) == 3
            await Client.connect(started.address)


LATECOMER = """#!{python}
import os, pathlib, socket, sys

been_here = pathlib.Path(__file__).with_suffix(".once")
if not been_here.exists():
    been_here.touch()
    port = int(sys.argv[sys.argv.index("--port") + 1])
    os.set_inheritable(socket.create_server(("127.0.0.1", port)).detach(), True)
os.execv({temporal!r}, sys.argv)
"""


async def test_port_taken_between_choice_and_start_is_chosen_again(tmp_path: Path) -> None:
    latecomer = tmp_path / "temporal"
    latecomer.write_text(LATECOMER.format(python=sys.executable, temporal=str(find_temporal().path)))
    latecomer.chmod(0o755)
    async with server(tmp_path / ".perdure", in_memory=True, binary=latecomer) as started:
        assert "address already in use" in started.log_path.read_text()
        await Client.connect(started.address)


CRASHING = """#!{python}
import os, pathlib, sys

been_here = pathlib.Path(__file__).with_suffix(".once")
if {always} or not been_here.exists():
    been_here.touch()
    sys.exit("panic: failed assigning ephemeral port\\n\\n" + "github.com/temporalio/cli\\n" * 40)
os.execv({temporal!r}, sys.argv)
"""


@pytest.mark.parametrize("always", [False, True])
async def test_server_that_crashes_as_it_starts_is_started_again_and_quoted(
    tmp_path: Path, *, always: bool
) -> None:
    crashing = tmp_path / "temporal"
    crashing.write_text(
        CRASHING.format(python=sys.executable, temporal=str(find_temporal().path), always=always)
    )
    crashing.chmod(0o755)
    started = server(tmp_path / ".perdure", in_memory=True, binary=crashing)
    if always:
        with pytest.raises(DevServerError, match=r"ended before it was ready(.|\n)*panic: failed assigning"):
            await started.start()
    else:
        async with started:
            await Client.connect(started.address)


async def test_second_server_in_a_directory_is_refused_naming_the_first(in_memory: DevServer) -> None:
    directory = in_memory.log_path.parent
    with pytest.raises(DirectoryInUseError, match=f"pid {in_memory.pid} at {in_memory.address}") as refusal:
        await server(directory).start()
    assert refusal.value.info == in_memory.info
    await Client.connect(in_memory.address)  # the first is none the worse


async def test_stale_announcement_of_a_power_cut_is_not_believed(tmp_path: Path) -> None:
    async with server(tmp_path, in_memory=True):
        announcement = (tmp_path / "server.json").read_text()
    (tmp_path / "server.json").write_text(announcement)
    assert running(tmp_path) is None
    assert not (tmp_path / "server.json").exists()


OWNER = """
import asyncio, sys
from pathlib import Path
from perdure.devserver import DevServer

async def main():
    async with DevServer(directory=Path(sys.argv[1]), port=None, ui_port=None, http_port=None):
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def start_owner(directory: Path) -> subprocess.Popen[bytes]:
    """Another Perdure process, whose server is ready."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, directory], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"ready\n"
    return owner


async def test_killed_owner_leaves_no_orphan_and_the_directory_free(tmp_path: Path) -> None:
    with start_owner(tmp_path) as owner:
        info = running(tmp_path)
        assert info is not None
        await Client.connect(info.address)  # attached from another process than the owner
        family = psutil.Process(owner.pid).children(recursive=True)
        owner.kill()
    async with server(tmp_path) as successor:  # waits for the other to be gone
        assert successor.pid != info.pid
        assert gone(info.pid)
        await until(lambda: all(gone(process.pid) for process in family))


async def test_interrupted_owner_stops_its_server(tmp_path: Path) -> None:
    with start_owner(tmp_path) as owner:
        info = running(tmp_path)
        assert info is not None
        owner.send_signal(signal.SIGINT)
        owner.wait(30)
    assert gone(info.pid)


async def test_killed_keeper_is_no_way_round_the_lock_and_stop_still_stops(tmp_path: Path) -> None:
    async with server(tmp_path) as started:
        psutil.Process(started.pid).parent().kill()
        with pytest.raises(DirectoryInUseError, match=f"pid {started.pid}"):
            await server(tmp_path).start()
        pid = started.pid
    await until(lambda: gone(pid))


MUTE = """#!/bin/sh
echo $$ > "$0.pid"
echo thinking
exec sleep 600
"""


def mute_binary(tmp_path: Path) -> tuple[Path, Path]:
    """A server that starts and never answers, and the file that it writes its pid to."""
    mute = tmp_path / "temporal"
    mute.write_text(MUTE)
    mute.chmod(0o755)
    return mute, tmp_path / "temporal.pid"


async def test_cancelled_start_leaves_nothing_running(tmp_path: Path) -> None:
    mute, pid_file = mute_binary(tmp_path)
    starting = asyncio.create_task(server(tmp_path / ".perdure", binary=mute).start())
    await until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await until(lambda: gone(int(pid_file.read_text())))
    async with server(tmp_path / ".perdure", in_memory=True):
        pass  # the lock is free


async def test_server_that_never_answers_is_an_error_in_bounded_time(tmp_path: Path) -> None:
    mute, pid_file = mute_binary(tmp_path)
    starting = server(tmp_path / ".perdure", binary=mute, ready_timeout=timedelta(seconds=1))
    with pytest.raises(DevServerError, match=r"did not get ready .* within 1 s(.|\n)*thinking"):
        await starting.start()
    assert gone(int(pid_file.read_text()))


async def test_workflow_finishes_after_its_server_was_killed(tmp_path: Path) -> None:
    async with server(tmp_path) as started:
        address, pid = started.address, started.pid
        client = await Client.connect(address)
        async with Worker(client, task_queue="q", workflows=[Patient], activities=[greet]):
            handle = await client.start_workflow(Patient.run, id="patient", task_queue="q")
            psutil.Process(pid).kill()
            await until(lambda: not started.alive)
            assert running(tmp_path) is None
            await started.restart()
            assert (started.address, started.pid != pid) == (address, True)
            await handle.signal(Patient.name, "Ada")
            assert await asyncio.wait_for(handle.result(), 30) == "Hello, Ada!"
    assert started.database is not None
    assert started.database.exists()


async def test_database_is_in_wal_mode_and_gains_search_attributes_later(tmp_path: Path) -> None:
    async with server(tmp_path) as started:
        assert started.database is not None
        assert started.database.with_name("temporal.db-wal").exists()
    async with server(tmp_path, search_attributes={"PerdureStatus": "Keyword"}) as started:
        client = await Client.connect(started.address)
        assert [run async for run in client.list_workflows("PerdureStatus = 'open'")] == []
    with pytest.raises(DevServerError, match=r"'PerdureStatus' is to be Int, but .* has it as Keyword"):
        await server(tmp_path, search_attributes={"PerdureStatus": "Int"}).start()


async def test_server_that_ends_early_is_an_error_that_quotes_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "temporal"
    broken.write_text("#!/bin/sh\necho 'Error: unknown flag: --http-port' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(DevServerError, match=r"ended before it was ready(.|\n)*unknown flag: --http-port"):
        await server(tmp_path / ".perdure", binary=broken).start()


def test_server_survives_the_event_loop_that_started_it(tmp_path: Path) -> None:
    started = server(tmp_path, in_memory=True)
    asyncio.run(started.start())
    assert started.alive
    pid = started.pid
    asyncio.run(started.stop())
    assert gone(pid)


def test_impossible_options_are_refused_at_construction(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="70000 is not a port"):
        server(tmp_path, port=70000)
    with pytest.raises(ValueError, match="'Price' has unknown type 'Money'"):
        server(tmp_path, search_attributes={"Price": "Money"})
    with pytest.raises(ValueError, match=r"'history\.rps' is <object"):
        server(tmp_path, dynamic_config={"history.rps": object()})


def test_announcement_is_plain_json_for_other_tools(tmp_path: Path) -> None:
    started = server(tmp_path, in_memory=True)
    asyncio.run(started.start())
    announced = json.loads((tmp_path / "server.json").read_text())
    asyncio.run(started.stop())
    assert {"pid", "address", "ui_url", "started"} <= announced.keys()
