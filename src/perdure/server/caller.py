"""Who asks, and what they may: one for each request, made by the guard.

Side: server. Invariant: a handler's answer is never taken for less than it says; whatever goes wrong in it refuses.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from langgraph_sdk import Auth
from starlette.exceptions import HTTPException

from perdure._compat import auth_handler
from perdure.graph.user import RunUser
from perdure.server.errors import failed
from perdure.server.filters import Filter, check_filter
from perdure.streams.wire import to_json

__all__ = ["ANYBODY", "Caller", "told_of"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """Without `auth` everything is allowed, and there is no user.

    `filters` are what the handler of this request's own action returned; `headers` what of the request's headers runs are
    told.
    """

    auth: Auth | None = None
    user: Any = None
    permissions: tuple[str, ...] = ()
    filters: Filter = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    async def allow(self, resource: str, action: str, value: dict[str, Any]) -> Filter:
        """Ask the most specific handler. It may change `value`.

        Raises:
            HTTPException: 403 when it refuses, its own status when it raises one, 500 when it fails.
        """
        handler = None if self.auth is None else auth_handler(self.auth, resource, action)
        if handler is None:
            return {}
        context = Auth.types.AuthContext(
            permissions=list(self.permissions),
            user=self.user,
            resource=resource,  # pyright: ignore[reportArgumentType]
            action=action,  # pyright: ignore[reportArgumentType]
        )
        try:
            answer = await handler(ctx=context, value=value)
            if answer is False:
                raise failed(403, "Forbidden")
            if answer is None or answer is True:
                return {}
            check_filter(answer)
        except Auth.exceptions.HTTPException as error:
            raise _told(error) from error
        except HTTPException:
            raise
        except AssertionError as error:
            raise failed(403, str(error) or "Forbidden") from error
        except Exception as error:
            _log.error("the authorisation handler for %s.%s failed", resource, action, exc_info=error)
            raise failed(500, "authorisation failed: see the server's log") from error
        return answer

    def filtered(self, filters: Filter) -> Caller:
        return replace(self, filters=filters)

    def configurable(self) -> dict[str, Any]:
        """What the runs that they start find in `configurable`, as with LangGraph's server."""
        if self.user is None:
            return dict(self.headers)
        fields: dict[str, Any] = orjson.loads(to_json(self.user.fields))
        return {
            **self.headers,
            "langgraph_auth_user": RunUser(fields),
            "langgraph_auth_user_id": self.user.identity,
            "langgraph_auth_permissions": list(self.permissions),
        }


def told_of(configurable: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's `configurable` says who started it."""
    return {key: value for key, value in configurable.items() if key.startswith("langgraph_auth_")}


ANYBODY = Caller()


def _told(error: Auth.exceptions.HTTPException) -> HTTPException:
    return HTTPException(
        error.status_code, error.detail, headers=dict(error.headers) if error.headers else None
    )
