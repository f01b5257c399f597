"""Dev server side: the folder (``.perdure/``) that one dev server at a time lives in.

Owns the lock and the state file that announces a ready server to other processes.
Invariants:

- The lock is an ``flock`` on an open file that Perdure, its keeper and the server itself share: it is
  held exactly as long as any of them lives, so no crash leaves it behind and no two servers ever
  open one database.
- ``server.json`` is there only while its server serves (see `keeper`); after a power cut a stale one
  can remain, which the free lock exposes.

Needs POSIX. Does not guard against a folder on a network file system without ``flock``.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from perdure.errors import PerdureError


@dataclass(frozen=True)
class ServerInfo:
    """A dev server that is up. ``address`` is ``"127.0.0.1:7233"``; the URLs carry their scheme."""

    address: str
    ui_url: str
    http_url: str
    pid: int
    namespace: str
    version: str
    """Of the Temporal server, such as ``"1.32.0"``."""
    database: str | None
    """Absolute path; None when it keeps everything in memory."""
    started: str
    """ISO 8601, in UTC."""


class DirectoryInUseError(PerdureError):
    """Another server lives in the directory. A retry helps once that one has stopped.

    ``info`` is that server; None while it is starting or stopping.
    """

    def __init__(self, message: str, info: ServerInfo | None) -> None:
        super().__init__(message)
        self.info = info


class ServerDirectory:
    """The files of one dev server."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.database = self.path / "temporal.db"
        self.log = self.path / "temporal.log"
        self.store = self.path / "store.db"
        self.state = self.path / "server.json"
        self._lock_file = self.path / "server.lock"

    def payloads(self, *, in_memory: bool) -> Path:
        """The folder for large payloads; those of a server that keeps everything in memory go with it."""
        return self.path / ("payloads-in-memory" if in_memory else "payloads")

    def prepare(self) -> None:
        """Create the folder, out of git's sight."""
        self.path.mkdir(parents=True, exist_ok=True)
        ignore = self.path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    def try_lock(self) -> int | None:
        """Take the lock and return its descriptor, to be closed by the caller; None if it is held."""
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        self.state.unlink(missing_ok=True)  # whoever wrote it is gone
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def in_use(self) -> DirectoryInUseError:
        """The refusal to start here, naming who holds the lock as far as that is known."""
        info = self._announced()
        if info is not None:
            return DirectoryInUseError(
                f"A dev server already runs in {str(self.path)!r}: pid {info.pid} at {info.address}. "
                "Fix: use that one, stop it first, or choose another directory.",
                info,
            )
        return DirectoryInUseError(
            f"The dev server directory {str(self.path)!r} is locked by process {self._owner()}, whose server is not ready or has died. "
            "Fix: wait for it, end it, or choose another directory.",
            None,
        )

    def owner_is_gone(self) -> bool:
        """Whether the process that took the lock has died, so that its server is about to follow."""
        owner = self._owner()
        if owner is None:
            return False
        try:
            os.kill(owner, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # another user's
            return False
        return False

    def announce(self, info: ServerInfo) -> None:
        """Tell other processes, atomically, that the server is ready."""
        draft = self.state.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(info), indent=2) + "\n")
        draft.replace(self.state)

    def running(self) -> ServerInfo | None:
        """The ready server of this directory, if any."""
        info = self._announced()
        if info is None:
            return None
        descriptor = self.try_lock()  # removes the announcement if it is stale
        if descriptor is None:
            return info
        os.close(descriptor)
        return None

    def _owner(self) -> int | None:
        text = self._lock_file.read_text()
        return int(text) if text.isdigit() else None

    def _announced(self) -> ServerInfo | None:
        try:
            return ServerInfo(**json.loads(self.state.read_text()))
        except (FileNotFoundError, ValueError, TypeError):  # absent, or of another Perdure version
            return None


def running(directory: Path | str) -> ServerInfo | None:
    """Find the dev server that lives in a directory, whichever process started it.

    None when there is none that is ready. Its ``address`` is what ``Client.connect`` wants.
    """
    return ServerDirectory(Path(directory)).running()
