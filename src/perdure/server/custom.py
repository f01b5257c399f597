"""The project's own application (`http.app`) and its `auth`, put together with the server's.

Side: server. The project's routes come first, but for `/ok`, `/metrics`, `/docs` and `/openapi.json`; its middleware is around
all routes, its lifespan is the process's. As in LangGraph's server, the project's object is changed by it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure.errors import ConfigError
from perdure.graph.project import Project
from perdure.server.authentication import Authenticator
from perdure.server.guard import Gates
from perdure.server.http_settings import HttpSettings

__all__ = ["behind", "gates_of", "living", "load_access", "mounted"]

_NOT_REPLACED = ("/ok", "/metrics", "/docs", "/docs/oauth2-redirect", "/openapi.json")
# Metrics name graphs and tell how much they are used.
_PUBLIC = tuple(path for path in _NOT_REPLACED if path != "/metrics")
_REPLACEABLE = ("/", "/info", "/redoc")


async def load_access(
    project: Project, settings: HttpSettings
) -> tuple[Authenticator | None, Starlette | None]:
    """What `auth.path` and `http.app` name. Raises ConfigError, GraphLoadError."""
    auth: Any = project.auth
    if auth is not None and not isinstance(auth, dict):
        raise ConfigError('langgraph.json: auth: must be an object, such as {"path": "./auth.py:auth"}')
    path = cast("dict[str, Any]", auth or {}).get("path")
    if auth is not None and path is None:
        raise ConfigError('langgraph.json: auth has no path: write {"path": "./auth.py:auth"}')
    authenticator = None if path is None else Authenticator(await project.aload_attribute("auth.path", path))
    if settings.app is None:
        return authenticator, None
    custom = await project.aload_attribute("http.app", settings.app)
    if not isinstance(custom, Starlette):
        raise ConfigError(
            f"langgraph.json: http.app names a {type(custom).__name__}: a FastAPI or Starlette application is needed"
        )
    return authenticator, custom


def behind(custom: Starlette, api: FastAPI) -> Starlette:
    """The project's application, with the server's routes behind its own."""
    if isinstance(custom, FastAPI) and api.openapi_url:
        own = custom.openapi()
        told = api.openapi()
        told["paths"] = {**told["paths"], **own.get("paths", {})}
        for kind, items in own.get("components", {}).items():
            known = told.setdefault("components", {}).setdefault(kind, {})
            told["components"][kind] = {**items, **known}
    kept = _NOT_REPLACED if api.openapi_url else ("/ok",)
    custom.router.routes[:0] = [Route(path, endpoint=api) for path in kept]
    custom.mount("", api)
    return custom


def gates_of(
    api: FastAPI, routers: Sequence[APIRouter], custom: Starlette | None, *, custom_too: bool
) -> Gates:
    """Before the two are put together. `routers` are those of the server."""
    pages = [route for route in api.routes if isinstance(route, Route)]
    routes: list[BaseRoute] = [*pages, *(route for router in routers for route in router.routes)]
    paths = {id(route): str(getattr(route, "path", "")) for route in routes}
    return Gates(
        public=[route for route in routes if paths[id(route)] in _PUBLIC],
        replaceable=[route for route in routes if paths[id(route)] in _REPLACEABLE],
        guarded=[route for route in routes if paths[id(route)] not in (*_PUBLIC, *_REPLACEABLE)],
        custom=[] if custom is None else list(custom.routes),
        custom_too=custom_too,
    )


@asynccontextmanager
async def living(app: Starlette) -> AsyncGenerator[ASGIApp]:
    """The application within its own lifespan, ended in its turn. Raises ConfigError where that does not begin."""
    async with AsyncExitStack() as stack:
        try:
            state = await stack.enter_async_context(app.router.lifespan_context(app))
        except Exception as error:
            raise ConfigError(f"the lifespan of http.app failed: {error!r}") from error

        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        yield served


def mounted(app: Starlette, api: FastAPI, prefix: str) -> Starlette:
    """All of it under a prefix; `/ok` is at the root, too."""
    outer = Starlette(
        routes=[Route("/ok", endpoint=api), Mount(prefix, app=app)],
        lifespan=cast("Any", lambda _: app.router.lifespan_context(app)),
    )
    outer.state = app.state
    return outer
