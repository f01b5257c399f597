"""The agents' long-term memory (LangGraph's `BaseStore`), by setting. Side: worker.

| setting                              | store                                                         |
|--------------------------------------|---------------------------------------------------------------|
| `sqlite:///folder/store.db`          | a file; for the processes of one machine                       |
| `postgresql://user:secret@host/name` | a database (`perdure[postgres]`); for any number of processes  |
| `memory`                             | LangGraph's `InMemoryStore`; gone with the process              |
| `none`, or nothing                   | none: `runtime.store` is None, unless the graph has its own    |

The setting is the argument `store=`, else the environment variable `PERDURE_STORE`.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from perdure.errors import ConfigError
from perdure.storage.sqlite import SqliteBackend

__all__ = ["STORE_VARIABLE", "StoreSetting", "WorkerStore"]

STORE_VARIABLE = "PERDURE_STORE"
"""The environment variable that says where the store is."""


@dataclass(frozen=True)
class StoreSetting:
    """A store by URL, as in the table above; `None` takes it from the environment.

    `index` and `ttl` are those of `langgraph.json`'s `store` section; what LangGraph's packages make of them, they do here.
    """

    url: str | None = None
    index: dict[str, Any] | None = None
    ttl: dict[str, Any] | None = None


class _Backend(Protocol):
    ttl: dict[str, Any] | None

    def check(self) -> None: ...

    def open(self) -> AbstractAsyncContextManager[Any]: ...


class _MemoryBackend:
    def __init__(self, setting: StoreSetting) -> None:
        self.ttl: dict[str, Any] | None = None  # it knows no time to live
        self._index: Any = setting.index

    def check(self) -> None:
        """There is nothing that could be wrong."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[InMemoryStore]:
        yield InMemoryStore(index=self._index)


class WorkerStore:
    """The store of a plugin's workers: opened by the first of them, closed with the last."""

    def __init__(self, setting: StoreSetting | BaseStore) -> None:
        """Raises ConfigError for a setting that is none, or whose extra is not installed."""
        given = isinstance(setting, BaseStore)
        self._backend = None if given else _backend(setting)
        self._current = setting if given else None
        self._users = 0
        self._opened = AsyncExitStack()
        self._lock = asyncio.Lock()

    @property
    def current(self) -> BaseStore | None:
        """The store, while a worker runs; `None` where there is none."""
        return self._current

    def check(self) -> None:
        """Raises ConfigError when the store cannot be used. It blocks, for seconds at most."""
        if self._backend is not None:
            self._backend.check()

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """For as long as a worker runs."""
        if self._backend is None:
            yield
            return
        async with self._lock:
            if not self._users:
                self._current = await self._opened.enter_async_context(_swept(self._backend))
            self._users += 1
        try:
            yield
        finally:
            async with self._lock:
                self._users -= 1
                if not self._users:
                    self._current = None
                    await self._opened.aclose()


@asynccontextmanager
async def _swept(backend: _Backend) -> AsyncGenerator[BaseStore]:
    """The open store; where items have a time to live, those that are past it are removed as time goes by."""
    async with backend.open() as store:
        if backend.ttl is None:
            yield store
            return
        await store.start_ttl_sweeper()
        try:
            yield store
        finally:
            await store.stop_ttl_sweeper()


def _backend(setting: StoreSetting) -> _Backend | None:
    place = (os.environ.get(STORE_VARIABLE, "") if setting.url is None else setting.url).strip()
    if place in ("", "none"):
        return None
    if place == "memory":
        return _MemoryBackend(setting)
    url = urlsplit(place)
    if url.scheme == "sqlite" and not url.netloc and url.path.strip("/"):
        path = Path("/" + unquote(url.path).lstrip("/"))
        return SqliteBackend(path, index=setting.index, ttl=setting.ttl)
    if url.scheme in ("postgresql", "postgres"):
        try:
            module = importlib.import_module("perdure.storage.postgres")
        except ImportError as error:
            raise ConfigError(
                f"{STORE_VARIABLE} names a Postgres database, which needs more packages: install perdure[postgres] "
                f"({error})"
            ) from error
        return module.PostgresBackend(place, index=setting.index, ttl=setting.ttl)
    # Not the setting itself: it may hold a password.
    raise ConfigError(
        f"{STORE_VARIABLE} has the scheme {url.scheme!r}: write 'sqlite:///folder/store.db', "
        "'postgresql://user:secret@host/name', 'memory' or 'none'"
    )
