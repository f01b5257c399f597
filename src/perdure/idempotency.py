"""Sending an effect's key with its HTTP requests. Either side; for httpx, which need not be installed.

    client = httpx.AsyncClient(event_hooks={"request": [perdure.idempotency.add_key_async]})

Inside a function that `@effect` declares, requests that write are given the header `Idempotency-Key`; others are left alone,
and so is a request that has one.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Protocol

from perdure.graph.effect import current_effect

__all__ = ["HEADER", "add_key", "add_key_async"]

HEADER = "Idempotency-Key"

_WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class _Request(Protocol):
    @property
    def method(self) -> str: ...
    @property
    def headers(self) -> MutableMapping[str, str]: ...


def add_key(request: _Request) -> None:
    """A request hook for `httpx.Client`."""
    if request.method not in _WRITING or HEADER in request.headers:
        return
    try:
        request.headers[HEADER] = current_effect().key
    except RuntimeError:
        return  # outside of an effect there is no key


async def add_key_async(request: _Request) -> None:
    """A request hook for `httpx.AsyncClient`."""
    add_key(request)
