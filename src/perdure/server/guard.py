"""What every request passes: it is known who asks, or it ends here.

Side: server. One ASGI middleware around all routes, the project's own (`http.app`) among them. Invariants: with an `Auth`,
no request reaches a route without a user, but for the public ones; a route that the table of rules does not name is refused;
what handlers saw of a body is what the route gets, byte for byte.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from starlette.authentication import AuthCredentials
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.server.access import Asked, authorise
from perdure.server.access_rules import RULES
from perdure.server.authentication import Authenticator
from perdure.server.backend import CALLER, Backend
from perdure.server.caller import ANYBODY, Caller
from perdure.server.errors import answered, failed
from perdure.server.headers import HeaderPatterns

__all__ = ["Gates", "Guard"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gates:
    """All routes, in the order in which they are tried: `public`, the project's own, `replaceable` (public unless the project
    has its own in their place), `guarded` ones, which have a row in the table of rules. Of the project's own (`custom`) only
    the user is asked for, and only where `custom_too`."""

    public: Sequence[BaseRoute]
    replaceable: Sequence[BaseRoute]
    guarded: Sequence[BaseRoute]
    custom: Sequence[BaseRoute] = ()
    custom_too: bool = False


class Guard:
    """`authenticator`: none lets everybody in. `headers`: which of a request's headers its runs are told."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        backend: Backend,
        gates: Gates,
        authenticator: Authenticator | None,
        headers: HeaderPatterns,
    ) -> None:
        self._app = app
        self._backend = backend
        self._gates = gates
        self._authenticator = authenticator
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            receive = await self._admitted(scope, receive)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, it is an answer, and logged
            response = answered(error)
            if response.status_code >= 500 and not isinstance(error, HTTPException):
                _log.error("a request could not be admitted", exc_info=error)
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
            else:
                await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope, receive: Receive) -> Receive:
        told = self._headers.of(scope["headers"])
        if self._authenticator is None:
            scope[CALLER] = Caller(headers=told) if told else ANYBODY
            return receive
        if _found(self._gates.public, scope) is not None:
            return receive
        custom = _found(self._gates.custom, scope)
        if custom is not None and not self._gates.custom_too:
            return receive
        if custom is None and _found(self._gates.replaceable, scope) is not None:
            return receive
        route, path = custom or _found(self._gates.guarded, scope) or (None, {})
        body = None
        if self._authenticator.wants_body:
            body = await _read(scope, receive)
        caller = await self._authenticator.caller(
            scope, _replayed(body, receive), path_params=path, body=_parsed(body)
        )
        scope.update(user=caller.user, auth=AuthCredentials(list(caller.permissions)))
        scope[CALLER] = caller = Caller(caller.auth, caller.user, caller.permissions, headers=told)
        if route is None or custom is not None:
            # What is not there is the router's to say.
            return _replayed(body, receive)
        return await self._authorised(scope, receive, caller, route, path, body)

    async def _authorised(
        self, scope: Scope, receive: Receive, caller: Caller, route: BaseRoute, path: Any, body: bytes | None
    ) -> Receive:
        method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
        rule = RULES.get(f"{method} {getattr(route, 'path', '')}")
        if rule is None:
            raise failed(403, "no rule says who may use this")
        asked = Asked(path, dict(QueryParams(scope.get("query_string", b""))))
        query = dict(asked.query)
        if rule.body:
            if body is None:
                body = await _read(scope, receive)
            given = _parsed(body)
            if not isinstance(given, dict):
                raise failed(422, "body: must be a JSON object")
            asked.body = cast("dict[str, Any]", given)
        scope[CALLER] = await authorise(self._backend, caller, rule, asked)
        if asked.query != query:
            scope["query_string"] = urlencode(asked.query).encode()
        if rule.body:
            body = json.dumps(asked.body, default=str).encode()
            length = str(len(body)).encode()
            kept = [
                item for item in scope["headers"] if item[0] not in (b"content-length", b"transfer-encoding")
            ]
            scope["headers"] = [*kept, (b"content-length", length)]
        return _replayed(body, receive)


def _found(routes: Sequence[BaseRoute], scope: Scope) -> tuple[BaseRoute, dict[str, Any]] | None:
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.FULL:
            return route, child.get("path_params", {})
    return None


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    return await Request(scope, receive).body() if scope["type"] == "http" else None


def _parsed(body: bytes | None) -> Any:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None


def _replayed(body: bytes | None, receive: Receive) -> Receive:
    """The body once more, if it was read; then whatever comes."""
    if body is None:
        return receive
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
