"""`perdure dev`: Temporal with its Web UI, a worker, and LangGraph's server API, for as long as the command runs.

Side: cli. The worker, which serves the API too, is a child process: user code that crashes or hangs takes neither the server nor this process along. A
worker that dies is started again; one that cannot start (a graph that does not load) is started again when a file changes.
Invariant: however this process ends, worker and server end too (the worker is tied to our end of a pipe, the server has its
keeper).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from perdure.cli.connection import find_project, payloads_of, server_directory
from perdure.cli.console import stderr
from perdure.cli.early import EarlyWorker, spawn
from perdure.cli.http import INSTALL_HINT, free_port, installed
from perdure.cli.settings import OK, USAGE, Settings
from perdure.contract import names
from perdure.devserver import DevServer, DevServerError, running
from perdure.devserver.directory import ServerDirectory
from perdure.errors import ConfigError
from perdure.graph.project import CONFIG_NAME, Project, load_project
from perdure.payloads.limits import PAYLOADS_VARIABLE
from perdure.storage.store import STORE_VARIABLE

__all__ = ["DevOptions", "dev"]

_POLL_SECONDS = 0.5
_RESTART_SECONDS = 1.0
_STOP_SECONDS = 15.0
_NOT_WATCHED = frozenset({"node_modules", "site-packages", "__pycache__"})


@dataclass(frozen=True, kw_only=True)
class DevOptions:
    """The command's options. `http`: host and preferred port for LangGraph's clients."""

    port: int
    ui_port: int
    worker: bool
    in_memory: bool
    clean: bool
    http: tuple[str, int] | None = None
    max_activities: int | None = None


async def dev(settings: Settings, options: DevOptions, early: EarlyWorker) -> int:
    """Run until SIGINT or SIGTERM; a second one kills. Raises KeyboardInterrupt when the first comes before the server."""
    project = find_project(settings) if not options.worker else (find_project(settings) or load_project(None))
    directory = server_directory(project)
    if options.clean:
        _clean(directory)
    server = DevServer(
        directory=directory,
        port=options.port,
        ui_port=options.ui_port,
        namespace=settings.namespace or "default",
        in_memory=options.in_memory,
        search_attributes=names.SEARCH_ATTRIBUTES,
    )
    console = stderr()
    stop = asyncio.Event()
    with _stop_signals(stop):
        async with _serving(server, stop):
            worker = _worker_arguments(options)
            _banner(console, server, project, settings, api=_api_of(worker, options))
            tasks = [asyncio.create_task(_keep_server(server, console))]
            if options.worker and project is not None:
                keeping = _keep_worker(server.address, project, settings, console, worker, early)
                tasks.append(asyncio.create_task(keeping))
            await _until(stop, tasks)
            console.print("stopping; what runs goes on at the next `perdure dev`", style="dim")
            for task in reversed(tasks):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if options.in_memory:
            _forget(ServerDirectory(directory).payloads(in_memory=True))
    return OK


@asynccontextmanager
async def _serving(server: DevServer, stop: asyncio.Event) -> AsyncGenerator[None]:
    """The server, from when it answers. `stop` ends the wait for it with a KeyboardInterrupt."""
    starting = asyncio.create_task(server.start())
    await _until(stop, [starting])
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        raise KeyboardInterrupt
    try:
        yield
    finally:
        await server.stop()


async def _until(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Until `stop` is set, or one of the tasks has failed."""
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done - {stopping}:
        task.result()


def _clean(directory: Path) -> None:
    if running(directory) is not None:
        raise ConfigError(f"a dev server runs in {str(directory)!r}: stop it before --clean")
    for file in directory.glob("temporal.db*"):
        file.unlink()
    _forget(ServerDirectory(directory).payloads(in_memory=False))


def _forget(payloads: Path) -> None:
    if payloads.exists():
        shutil.rmtree(payloads)


def _worker_arguments(options: DevOptions) -> list[str]:
    jobs = [] if options.max_activities is None else ["--max-activities", str(options.max_activities)]
    if options.http is None or not options.worker or not installed():
        return jobs
    host, port = options.http
    return [*jobs, "--http", f"{host}:{free_port(host, port)}"]


def _api_of(worker: list[str], options: DevOptions) -> str | None:
    """What the banner says of the HTTP server; `None` where none is wanted."""
    if "--http" in worker:
        return f"http://{worker[-1]}"
    return None if options.http is None or not options.worker else f"not installed: {INSTALL_HINT}"


def _banner(
    console: Console, server: DevServer, project: Project | None, settings: Settings, *, api: str | None
) -> None:
    rows = [("Temporal", server.address), ("Web UI", server.ui_url)]
    if api is not None:
        rows.append(("API", api))
    rows.append(("data", str(server.database) if server.database else "in memory: gone when this ends"))
    rows.append(("payloads", os.environ.get(PAYLOADS_VARIABLE) or str(payloads_of(settings, project))))
    if project is not None:
        rows.append(("graphs", ", ".join(project.graphs)))
    rows.append(("task queue", settings.task_queue))
    console.print(Text("\n  perdure dev", style="bold"))
    for label, value in rows:
        console.print(Text(f"  {label:<11}", style="dim").append(value, style="default"), soft_wrap=True)
    example = next(iter(project.graphs)) if project is not None else "GRAPH"
    console.print(Text("  next       ", style="dim").append(f"perdure run {example} '{{…}}'", style="cyan"))
    console.print(Text("  Ctrl-C stops everything\n", style="dim"))


async def _keep_server(server: DevServer, console: Console) -> None:
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        if server.alive:
            continue
        console.print("the Temporal server has died; starting it again", style="yellow")
        try:
            await server.restart()
        except DevServerError as error:
            console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
            await asyncio.sleep(_RESTART_SECONDS)


async def _keep_worker(
    address: str,
    project: Project,
    settings: Settings,
    console: Console,
    arguments: list[str],
    early: EarlyWorker,
) -> None:
    while True:
        changed = _newest_change(project.root)
        code = await _run_worker(address, project, settings, arguments, early)
        if code == USAGE:
            console.print("the worker starts again as soon as a file of the project changes", style="yellow")
            while _newest_change(project.root) == changed:  # noqa: ASYNC110 - files change by themselves
                await asyncio.sleep(_POLL_SECONDS)
        else:
            console.print(f"the worker has ended ({_ended(code)}); starting it again", style="yellow")
            await asyncio.sleep(_RESTART_SECONDS)


async def _run_worker(
    address: str, project: Project, settings: Settings, arguments: list[str], early: EarlyWorker
) -> int:
    info = running(server_directory(project))
    in_memory = {STORE_VARIABLE: "memory"} if info is not None and info.database is None else {}
    command = ["--config", str(project.file), "--address", address, "--task-queue", settings.task_queue]
    command += ["--debug"] if settings.debug else []
    command += ["--namespace", settings.namespace] if settings.namespace else []
    command += ["worker", "--tied", *arguments]
    environment = {**in_memory, **os.environ}
    process = await early.take(command, environment)
    if process is None:
        process = await spawn("-m", "perdure.cli", *command, environment=environment)
    try:
        return await process.wait()
    finally:
        await asyncio.shield(_stop(process))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _ended(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _newest_change(root: Path) -> float:
    return max((file.stat().st_mtime for file in _source_files(root)), default=0.0)


def _source_files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _NOT_WATCHED and not name.startswith(".")]
        # A virtual environment is not the project's own code.
        folders[:] = [name for name in folders if not (Path(folder) / name / "pyvenv.cfg").exists()]
        yield from (Path(folder) / f for f in files if f.endswith(".py") or f in (CONFIG_NAME, ".env"))


@contextmanager
def _stop_signals(stop: asyncio.Event) -> Generator[None]:
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)  # worker and server notice that we are gone, and go
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
