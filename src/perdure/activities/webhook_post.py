"""The HTTP request of a webhook. Side: activities. A module of its own, loaded when it is needed: Temporal's sandbox lets no
HTTP client in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping

import httpx

__all__ = ["PostFailed", "post"]

_SECONDS = 20.0
_TEXT = 200
_PORTS = {"http": 80, "https": 443}


class PostFailed(Exception):
    """There is no answer. `retry` tells whether there may be one later."""

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry


async def post(
    url: str, body: bytes, headers: Mapping[str, str], *, problem: Callable[[str, str], str | None]
) -> tuple[int, str]:
    """POST JSON; the answer's status and the beginning of its text. Redirects are not followed.

    Args:
        problem: why an address that the URL's host leads to may not be called.

    Raises:
        PostFailed: naming the cause.
    """
    to = httpx.URL(url)
    address = await _address(to.host, to.port or _PORTS[to.scheme], problem)
    own = {**headers, "host": to.netloc.decode(), "content-type": "application/json", "user-agent": "perdure"}
    try:
        async with (
            asyncio.timeout(_SECONDS),
            httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client,
            client.stream(
                "POST",
                # To the address that was looked at, and no other that the name may lead to a moment later.
                to.copy_with(host=address),
                content=body,
                headers=own,
                extensions={"sni_hostname": to.host},
            ) as response,
        ):
            return response.status_code, await _beginning(response)
    except TimeoutError as error:
        raise PostFailed(f"no answer within {_SECONDS:g} s") from error
    except httpx.HTTPError as error:
        raise PostFailed(f"{type(error).__name__}: {error}") from error


async def _beginning(response: httpx.Response) -> str:
    text = ""
    if not response.is_success:  # of what went well nobody reads more
        async for piece in response.aiter_text():
            text += piece
            if len(text) >= _TEXT:
                break
    return text[:_TEXT]


async def _address(host: str, port: int, problem: Callable[[str, str], str | None]) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PostFailed(f"host {host!r} is not known: {error}") from error
    addresses = [str(item[4][0]) for item in found]
    for address in addresses:
        if refused := problem(host, address):
            raise PostFailed(refused, retry=False)
    return addresses[0]
