"""LangGraph's Postgres store. Side: worker; needs the extra `perdure[postgres]`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from langgraph.store.postgres.aio import AsyncPostgresStore
from psycopg.conninfo import conninfo_to_dict

from perdure.errors import ConfigError

__all__ = ["PostgresBackend"]

_CONNECT_SECONDS = 5
_CONNECTIONS = 10
# Of our own choice: workers that set up the database at a time take turns.
_SETUP_LOCK = 7_016_996_765_293_437_281
_LOCK_POLL_SECONDS = 0.2


class PostgresBackend:
    """One database, by its URL. `index` and `ttl` as LangGraph's `PostgresIndexConfig` and `TTLConfig`."""

    def __init__(self, url: str, *, index: dict[str, Any] | None, ttl: dict[str, Any] | None) -> None:
        self.ttl: Any = ttl
        self._url = url
        self._index: Any = index

    def check(self) -> None:
        """Raises ConfigError when the database does not answer, or not to us. It never shows the password."""
        try:
            psycopg.connect(self._url, connect_timeout=_CONNECT_SECONDS).close()
        except psycopg.Error as error:
            raise ConfigError(
                f"the store at {self._place()} cannot be used ({' '.join(str(error).split())}): start the database, or "
                "set PERDURE_STORE to another"
            ) from error

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[AsyncPostgresStore]:
        pool: Any = {"min_size": 1, "max_size": _CONNECTIONS}
        async with (
            AsyncPostgresStore.from_conn_string(
                self._url, pool_config=pool, index=self._index, ttl=self.ttl
            ) as store,
            store,
        ):
            async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
                await _lock(connection)
                await store.setup()  # closing the connection lets the lock go
            yield store

    def _place(self) -> str:
        try:
            parts = conninfo_to_dict(self._url)
        except psycopg.ProgrammingError:
            return "the given URL"
        return f"'postgresql://{parts.get('host', '')}/{parts.get('dbname', '')}'"


async def _lock(connection: psycopg.AsyncConnection[Any]) -> None:
    # Waiting inside one statement would hold up the index that the lock's owner builds, which waits for all statements.
    while True:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_SETUP_LOCK,))
        row = await cursor.fetchone()
        if row is not None and row[0]:
            return
        await asyncio.sleep(_LOCK_POLL_SECONDS)
