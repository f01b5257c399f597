"""LangGraph's SQLite store, made fit for several processes on one file. Side: worker.

Its transactions begin as writers: one that reads first and writes then would be refused at once when another process wrote
in between, however long it may wait. The price is that processes take turns; many that write much want Postgres.
"""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import aiosqlite
from langgraph.store.sqlite.aio import AsyncSqliteStore

from perdure.errors import ConfigError

__all__ = ["SqliteBackend"]

_BUSY_SECONDS = 30.0


class SqliteBackend:
    """One file. `index` and `ttl` as LangGraph's `IndexConfig` and `TTLConfig`."""

    def __init__(self, path: Path, *, index: dict[str, Any] | None, ttl: dict[str, Any] | None) -> None:
        self.ttl: Any = ttl
        self._path = path
        self._index = index

    def check(self) -> None:
        """Raises ConfigError when the file cannot be made or written to, or is no database."""
        if self._index is not None and not hasattr(sqlite3.Connection, "enable_load_extension"):
            raise ConfigError(
                "a store with an index needs a Python whose sqlite3 can load extensions, and this one cannot: use "
                "another build of Python, or set PERDURE_STORE to a Postgres database"
            )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            finally:
                connection.close()
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"the store {str(self._path)!r} cannot be used ({error}): make its folder writable, or set "
                "PERDURE_STORE to another"
            ) from error

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[AsyncSqliteStore]:
        async with aiosqlite.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, factory=_Writer
        ) as connection:
            store = AsyncSqliteStore(connection, index=_index(self._index), ttl=self.ttl)
            # Two processes that migrate at a time get in each other's way.
            with await asyncio.to_thread(_locked, self._path.with_name(f"{self._path.name}.lock")):
                await connection.execute("PRAGMA journal_mode=WAL")
                await store.setup()
            async with store:
                yield store


class _Writer(sqlite3.Connection):
    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return super().execute("BEGIN IMMEDIATE" if sql == "BEGIN" else sql, parameters)


def _locked(path: Path) -> TextIO:
    """Waits until no other process holds the lock; closing the file lets it go."""
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _index(index: dict[str, Any] | None) -> Any:
    # The SQLite store knows `langgraph.json`'s "fields" by another name.
    return None if index is None else {"text_fields": index.get("fields"), **index}
