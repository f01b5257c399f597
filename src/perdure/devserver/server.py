"""Dev server side: Temporal's own development server, embedded, tuned and persistent.

Owns a server's whole life: ports, readiness, restart, end. Invariants:

- One server per directory; it never outlives this process (see `directory`, `keeper`).
- Everything listens on 127.0.0.1 only. Neither gRPC nor the Web UI nor the HTTP API asks who is calling:
  any program of this machine can use them. For development, not for production.
- Busy ports are moved away from at the first start and kept at a restart.

With a database, a killed server loses nothing; a power cut may lose the last moments. Does not restart a
server that died: watch `DevServer.alive` and call `restart`.
"""

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from perdure.devserver.binary import TemporalBinary, find_temporal
from perdure.devserver.directory import ServerDirectory, ServerInfo
from perdure.devserver.options import ServerOptions
from perdure.devserver.ports import HOST, Ports, PreferredPorts, turn_to_start
from perdure.devserver.process import DevServerError, PortTakenError, ServerProcess
from perdure.devserver.readiness import until_ready

_GRACE = timedelta(seconds=5)
_POLL_SECONDS = 0.05
_PORT_ATTEMPTS = 5


class DevServer:
    """A Temporal dev server for as long as an ``async with`` block, or from `start` to `stop`.

    May be started and stopped on different event loops. One that is never stopped ends with this process.

    Args:
        directory: where database, log, lock and state live; made if missing, ignored by git.
        port: preferred gRPC port; the next free one if busy. None: any.
        ui_port: the same for the Web UI.
        http_port: the same for the unauthenticated HTTP API.
        namespace: made if missing, beside ``default``.
        binary: the `temporal` executable; `find_temporal` looks for one if not given.
        in_memory: no database, so it is gone with the server; `stop` then takes no time.
        search_attributes: name to type (Text, Keyword, Int, Double, Bool, Datetime, KeywordList), registered
            in the namespace.
        dynamic_config: server settings over Perdure's own, as JSON values.
        log_path: the server's output is appended to it; ``temporal.log`` in the directory if not given.
        ready_timeout: how long `start` and `restart` wait for an answer.

    Raises:
        BinaryNotFoundError: there is no `temporal` executable.
        ValueError: a port or search attribute type that does not exist, or dynamic config that is not JSON.
    """

    def __init__(
        self,
        *,
        directory: Path | str = Path(".perdure"),
        port: int | None = 7233,
        ui_port: int | None = 8233,
        http_port: int | None = 7243,
        namespace: str = "default",
        binary: TemporalBinary | Path | str | None = None,
        in_memory: bool = False,
        search_attributes: Mapping[str, str] | None = None,
        dynamic_config: Mapping[str, object] | None = None,
        log_path: Path | str | None = None,
        ready_timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self._binary = binary if isinstance(binary, TemporalBinary) else find_temporal(setting=binary)
        self._directory = ServerDirectory(Path(directory))
        self._preferred = PreferredPorts(grpc=port, ui=ui_port, http=http_port)
        self._options = ServerOptions(
            namespace=namespace,
            database=None if in_memory else self._directory.database,
            search_attributes=dict(search_attributes or {}),
            dynamic_config=dict(dynamic_config or {}),
        )
        self._log = Path(log_path).absolute() if log_path else self._directory.log
        self._ready_timeout = ready_timeout
        self._lock: int | None = None
        self._ports: Ports | None = None
        self._process: ServerProcess | None = None
        self._info: ServerInfo | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def info(self) -> ServerInfo:
        """All facts about the started server in one value. DevServerError when it is not started."""
        if self._info is None:
            raise DevServerError("The dev server is not started. Fix: use `async with`, or await `start()`.")
        return self._info

    @property
    def address(self) -> str:
        """gRPC address, such as ``"127.0.0.1:7233"``."""
        return self.info.address

    @property
    def ui_url(self) -> str:
        """Web UI."""
        return self.info.ui_url

    @property
    def http_url(self) -> str:
        """Temporal's HTTP API, unauthenticated."""
        return self.info.http_url

    @property
    def pid(self) -> int:
        """Process id of the server itself."""
        return self.info.pid

    @property
    def version(self) -> str:
        """Version of the Temporal server, such as ``"1.32.0"``."""
        return self.info.version

    @property
    def database(self) -> Path | None:
        """The SQLite file; None in memory."""
        return self._options.database

    @property
    def log_path(self) -> Path:
        """Where the server's output goes."""
        return self._log

    @property
    def alive(self) -> bool:
        """Whether the server process runs."""
        return self._process is not None and self._process.exit_code() is None

    async def start(self) -> None:
        """Start and wait until the server answers and its namespace and search attributes exist.

        Raises:
            DirectoryInUseError: another server lives in the directory; it carries that one's info.
            DevServerError: the server ended early, did not get ready in time, or cannot have the search
                attributes.
        """
        if self._lock is not None:
            raise DevServerError("The dev server is already started. Fix: start it once, or `restart()` it.")
        self._directory.prepare()
        self._lock = await self._acquire_lock()
        try:
            await self._launch_on_free_ports()
        except BaseException:
            await self.stop()
            raise

    async def restart(self) -> None:
        """Start again with the same database and ports, whether the server still runs or was killed.

        Open workflows continue; clients and workers reconnect by themselves. In memory, it starts empty.

        Raises:
            DevServerError: as `start`, or another process has taken a port meanwhile. It may be tried again.
        """
        if self._ports is None:
            raise DevServerError("The dev server is not started. Fix: `start()` it first.")
        await self._end_process()
        async with turn_to_start():
            await self._launch(self._ports)

    async def stop(self) -> None:
        """Stop the server and wait until it is gone: gracefully within seconds, at once in memory.

        May be called again. Cancelled, it returns early, but the server goes all the same.
        """
        self._ports = None
        try:
            await self._end_process()
        finally:
            if self._lock is not None:
                os.close(self._lock)  # a server that is still stopping holds the lock itself
                self._lock = None

    async def _acquire_lock(self) -> int:
        # A held lock without an announced server, or without its owner, belongs to a server that is just
        # starting or stopping, such as that of a process that was killed a moment ago.
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (2 * _GRACE).total_seconds()
        while (lock := self._directory.try_lock()) is None:
            refusal = self._directory.in_use()
            served = refusal.info is not None and not self._directory.owner_is_gone()
            if served or loop.time() > deadline:
                raise refusal
            await asyncio.sleep(_POLL_SECONDS)
        return lock

    async def _launch_on_free_ports(self) -> None:
        async with turn_to_start():
            for _ in range(_PORT_ATTEMPTS - 1):
                try:
                    return await self._launch(self._preferred.choose())
                except PortTakenError:
                    continue
            return await self._launch(self._preferred.choose())

    async def _launch(self, ports: Ports) -> None:
        assert self._lock is not None
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._process = ServerProcess(
            self._options.command(self._binary.path, ports),
            log=self._log,
            state=self._directory.state,
            lock=self._lock,
            grace=timedelta(0) if self._options.database is None else _GRACE,
        )
        try:
            version = await until_ready(
                self._process, f"{HOST}:{ports.grpc}", self._options, timeout=self._ready_timeout
            )
        except BaseException:
            await self._end_process()
            raise
        self._ports = ports
        self._info = ServerInfo(
            address=f"{HOST}:{ports.grpc}",
            ui_url=f"http://{HOST}:{ports.ui}",
            http_url=f"http://{HOST}:{ports.http}",
            pid=self._process.pid,
            namespace=self._options.namespace,
            version=version,
            database=None if self.database is None else str(self.database),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._directory.announce(self._info)

    async def _end_process(self) -> None:
        process, self._process, self._info = self._process, None, None
        if process is not None:
            process.release()
            await asyncio.shield(asyncio.to_thread(process.stop))
