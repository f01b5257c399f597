"""Large payloads in a folder: one file per content. Either side; the folder is on this machine, or shared.

`FOLDER/ab/abcd…` holds the payload whose SHA-256 is `abcd…`. Files are written aside and renamed, so a reader finds a whole
file or none; what exists is not written again, but its time of change is set to now: a file's age is the time since it was
last stored, which is what removing old files goes by.

Not guaranteed: that anything is ever removed; and whoever can write to the folder can destroy values (not forge them).
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

from perdure.errors import ConfigError
from perdure.payloads.limits import PAYLOADS_VARIABLE
from perdure.storage.unreadable import PayloadUnreadable

__all__ = ["FOLDER_DRIVER", "FolderDriver"]

FOLDER_DRIVER = "perdure.folder"

_DIGEST = re.compile(r"[0-9a-f]{64}")
# Its own threads: nodes that block all of the worker's must not keep workflows from reading.
_THREADS = 4

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class FolderDriver(StorageDriver):
    """A claim is `{"sha256": ...}`, nothing else: where the folder is, each process is told by its own setting."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="perdure-payloads")

    def name(self) -> str:
        return FOLDER_DRIVER

    def type(self) -> str:
        return FOLDER_DRIVER

    def check(self) -> None:
        """Raises ConfigError when nothing can be written to the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ConfigError(
                f"{PAYLOADS_VARIABLE} names the folder {str(self.folder)!r}, which cannot be written to "
                f"({error.strerror or error}): make it writable, or name another"
            ) from error

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        return await self._each(self._write, payloads)

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        return await self._each(self._read, claims)

    async def _each(self, step: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
        loop = asyncio.get_running_loop()
        return list(await asyncio.gather(*(loop.run_in_executor(self._threads, step, i) for i in items)))

    def _write(self, payload: Payload) -> StorageDriverClaim:
        data = payload.SerializeToString(deterministic=True)
        digest = sha256(data).hexdigest()
        path = self._path(digest)
        if not _refreshed(path, len(data)):
            _write_whole(path, data)
        return StorageDriverClaim({"sha256": digest})

    def _read(self, claim: StorageDriverClaim) -> Payload:
        digest = claim.claim_data.get("sha256", "")
        if not _DIGEST.fullmatch(digest):
            raise PayloadUnreadable(f"a stored payload's claim names no SHA-256: {digest[:100]!r}")
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise PayloadUnreadable(
                f"the stored payload {digest!r} is not in {str(self.folder)!r}: put the file back, or set "
                f"{PAYLOADS_VARIABLE} to the folder that has it"
            ) from error
        if sha256(data).hexdigest() != digest:
            raise PayloadUnreadable(
                f"the stored payload {str(path)!r} is damaged ({len(data):,} bytes, whose SHA-256 is another): "
                "restore the file from a backup"
            )
        return Payload.FromString(data)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest


def _refreshed(path: Path, size_bytes: int) -> bool:
    """Whether the file is there (and whole, as far as its size tells); it counts as stored now, then."""
    try:
        if path.stat().st_size != size_bytes:
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".draft", delete=False) as file:
            draft = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        if draft is not None:
            draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Else a power cut could forget the name while Temporal remembers the claim.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
