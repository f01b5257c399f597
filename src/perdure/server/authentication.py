"""The project's `@auth.authenticate`: from a request to who asks.

Side: server. It is given what it names of request, body, path, method, headers (bytes), authorization, path_params,
query_params, scope, scopes, and user. Whatever it does but return a user is a refusal.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any, cast

from fastapi.params import Depends
from langgraph_sdk import Auth
from starlette.authentication import AuthenticationError, BaseUser
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope

from perdure._compat import authenticate_handler
from perdure.errors import ConfigError
from perdure.server.caller import Caller
from perdure.server.errors import failed

__all__ = ["AskingUser", "Authenticator"]

_log = logging.getLogger(__name__)

_KNOWN = (
    "request", "body", "user", "path", "method", "scopes", "path_params", "query_params", "headers", "authorization",
    "scope",
)  # fmt: skip


class AskingUser(BaseUser):
    """What `authenticate` returned, with what LangGraph promises of it: items and attributes, and defaults."""

    def __init__(self, own: Any) -> None:
        self._own = own
        self.fields = {**_fields_of(own)}
        self.fields.setdefault("display_name", self.fields["identity"])
        self.fields.setdefault("is_authenticated", True)

    @property
    def identity(self) -> str:
        return str(self.fields["identity"])

    @property
    def display_name(self) -> str:
        return str(self.fields["display_name"])

    @property
    def is_authenticated(self) -> bool:
        return bool(self.fields["is_authenticated"])

    @property
    def permissions(self) -> list[str]:
        return list(self.fields.get("permissions") or ())

    def get(self, key: str, default: Any = None) -> Any:
        return self.fields.get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self.fields[key]

    def __contains__(self, key: object) -> bool:
        return key in self.fields

    def __iter__(self) -> Any:
        return iter(self.fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "fields":
            raise AttributeError(name)
        return self.fields[name] if name in self.fields else getattr(self._own, name)


class Authenticator:
    """Checked at construction. Raises ConfigError for an object that is no `Auth`, or whose handler wants what there is not."""

    def __init__(self, auth: Any) -> None:
        if not isinstance(auth, Auth):
            raise ConfigError(
                f"langgraph.json: auth.path names a {type(auth).__name__}, not a langgraph_sdk.Auth"
            )
        handler = authenticate_handler(auth)
        if handler is None:
            raise ConfigError("langgraph.json: auth.path names an Auth without an @auth.authenticate handler")
        parameters = inspect.signature(handler).parameters.values()
        for p in parameters:
            if p.name not in _KNOWN and (p.default is p.empty or isinstance(p.default, Depends)):
                raise ConfigError(
                    f"@auth.authenticate wants {p.name!r}, and there is no such thing: it may name "
                    f"{', '.join(_KNOWN)}"
                )
        self.auth = auth
        self._handler: Any = handler
        self._names = [p.name for p in parameters if p.name in _KNOWN]

    @property
    def wants_body(self) -> bool:
        return "body" in self._names or "request" in self._names

    async def caller(
        self, scope: Scope, receive: Receive, *, path_params: Mapping[str, Any], body: Any
    ) -> Caller:
        """Raises HTTPException."""
        if scope["type"] == "websocket" and "request" in self._names:
            raise failed(403, "@auth.authenticate names 'request', and a WebSocket is none")
        given = {name: _argument(name, scope, receive, path_params, body) for name in self._names}
        try:
            if inspect.iscoroutinefunction(self._handler):
                found = await self._handler(**given)
            else:
                found = await run_in_threadpool(self._handler, **given)
            if found is None or found is False:
                raise failed(401, "Unauthorized")
            permissions, user = _parts(found)
        except Auth.exceptions.HTTPException as error:
            headers = dict(error.headers) if error.headers else None
            raise HTTPException(error.status_code, error.detail, headers=headers) from error
        except HTTPException:
            raise
        except AuthenticationError as error:
            raise failed(403, str(error)) from error
        except Exception as error:
            _log.error("@auth.authenticate failed", exc_info=error)
            raise failed(500, "authentication failed: see the server's log") from error
        return Caller(self.auth, user, permissions)


def _argument(name: str, scope: Scope, receive: Receive, path_params: Mapping[str, Any], body: Any) -> Any:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    match name:
        case "request":
            return Request(scope, receive)
        case "body":
            return body
        case "path":
            return scope["path"]
        case "method":
            return scope.get("method", "GET")
        case "scopes":
            return []
        case "path_params":
            return dict(path_params)
        case "query_params":
            return QueryParams(scope.get("query_string", b""))
        case "headers":
            return headers
        case "authorization":
            found = headers.get(b"authorization")
            return None if found is None else found.decode("latin-1")
        case "scope":
            return scope
        case _:
            return None


def _parts(found: Any) -> tuple[tuple[str, ...], AskingUser]:
    permissions: Any = None
    if isinstance(found, tuple):
        permissions, found = cast("tuple[Any, Any]", found)
    user = AskingUser(found)
    return tuple(user.permissions if permissions is None else permissions), user


def _fields_of(own: Any) -> dict[str, Any]:
    if isinstance(own, str):
        return {"identity": own}
    if isinstance(own, Mapping):
        fields = {str(key): value for key, value in cast("Mapping[Any, Any]", own).items()}
    else:
        dump = getattr(own, "model_dump", None) or getattr(own, "dict", None)
        dumped: Any = dump() if callable(dump) else getattr(own, "__dict__", {})
        fields = {str(key): value for key, value in dict(dumped).items() if not str(key).startswith("_")}
        for name in ("identity", "display_name", "is_authenticated", "permissions"):
            if (value := getattr(own, name, None)) is not None:
                fields[name] = value
    if not fields.get("identity"):
        raise ValueError(f"a user needs an identity; got a {type(own).__name__} without one")
    return fields
