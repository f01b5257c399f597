"""The project's own routes (`http.app`), and what else `http` of `langgraph.json` says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI, Request
from langgraph_sdk import get_client
from sdk_auth import auth
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from perdure.errors import ConfigError, GraphLoadError
from perdure.graph.project import load_project
from perdure.server.authentication import Authenticator
from perdure.server.custom import living, load_access
from perdure.server.http_settings import http_settings

if TYPE_CHECKING:
    from sdk_stack import Stack


class Stamp:
    """A middleware: tells on each answer that it was there, and refuses what is banned."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def stamped(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-stamp", b"yes")]
            await send(message)

        if scope["type"] == "http" and dict(scope["headers"]).get(b"x-banned"):
            await PlainTextResponse("banned", 403)(scope, receive, stamped)
            return
        await self.app(scope, receive, stamped)


def fastapi_app(told: list[str]) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        told.append("started")
        app.state.greeting = "hello"
        yield
        told.append("ended")

    app = FastAPI(lifespan=lifespan)

    @app.get("/hello")
    async def hello(request: Request) -> dict[str, str]:
        return {"told": request.app.state.greeting}

    @app.get("/info")
    async def info() -> str:
        return "mine"

    @app.get("/ok")
    async def ok() -> str:
        return "mine"

    @app.post("/threads/count")
    async def count() -> int:
        return -1

    app.add_middleware(Stamp)
    return app


async def test_the_projects_routes_middleware_and_lifespan(stack: Stack) -> None:
    told: list[str] = []
    with stack.serving(custom=fastapi_app(told)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http, get_client(url=url) as client:
            assert told == ["started"]
            assert (await http.get("/hello")).json() == {"told": "hello"}
            assert (await http.get("/info")).json() == "mine"
            assert (await http.get("/ok")).json() == {"ok": True}
            assert await client.threads.count() == -1
            result = await client.runs.wait(None, "steps", input={"log": []})
            assert result["log"] == ["first plain", "second"]
            for path in ("/hello", "/ok", "/threads/x"):
                assert (await http.get(path)).headers["x-stamp"] == "yes", path
            assert (await http.get("/threads/x")).status_code == 404
            assert (await http.get("/nothing")).status_code == 404
            assert (await http.get("/threads/x", headers={"X-Banned": "1"})).status_code == 403
            paths = (await http.get("/openapi.json")).json()["paths"]
            assert {"/hello", "/threads", "/runs/wait"} <= set(paths)
            origin = {"Origin": "http://localhost:1", "Access-Control-Request-Method": "GET"}
            assert (await http.options("/hello", headers=origin)).headers["access-control-allow-origin"]
    assert told == ["started", "ended"]


def starlette_app() -> Starlette:
    async def who(request: Request) -> JSONResponse:
        user = request.scope.get("user")
        return JSONResponse({"user": user.identity if user else None, "team": user.team if user else None})

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    routes = [Route("/who", who), Route("/info", who), WebSocketRoute("/talk", talk)]
    return Starlette(routes=routes, middleware=[Middleware(Stamp)])


@pytest.mark.parametrize("guarded", [True, False])
async def test_the_projects_routes_are_open_unless_they_are_to_be_guarded(
    stack: Stack, guarded: bool
) -> None:
    settings = http_settings(
        {"enable_custom_route_auth": guarded, "middleware_order": "auth_first" if guarded else None}
    )
    ann = {"Authorization": "Bearer ann"}
    with stack.serving(custom=starlette_app(), settings=settings, authenticator=Authenticator(auth)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            for path in ("/who", "/info"):
                assert (await http.get(path)).status_code == (401 if guarded else 200)
            known = {"user": "ann", "team": "blue"} if guarded else {"user": None, "team": None}
            assert (await http.get("/who", headers=ann)).json() == known
            assert (await http.get("/threads/x")).status_code == 401
            assert (await http.get("/threads/x", headers=ann)).status_code == 404
            # Whose turn it is first.
            assert (await http.get("/who", headers={"X-Banned": "1"})).status_code == (
                401 if guarded else 403
            )


async def test_under_a_prefix(stack: Stack) -> None:
    told: list[str] = []
    settings = http_settings({"mount_prefix": "/agents/api"})
    with stack.serving(custom=fastapi_app(told), settings=settings, authenticator=Authenticator(auth)) as url:
        assert told == ["started"]
        ann = {"Authorization": "Bearer ann"}
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            assert (await http.get("/ok")).json() == {"ok": True}
            assert (await http.get("/agents/api/hello")).json() == {"told": "hello"}
            assert (await http.get("/hello")).status_code == 404
            assert (await http.get("/threads/x")).status_code == 404
            assert (await http.get("/agents/api/threads/x")).status_code == 401
            assert (await http.get("/agents/api/threads/x", headers=ann)).status_code == 404
        async with get_client(url=f"{url}/agents/api", headers=ann) as client:
            parts = [part async for part in client.runs.stream(None, "steps", input={"log": []})]
            assert parts[-1].data["log"] == ["first plain", "second"]


async def test_parts_may_be_left_out(stack: Stack) -> None:
    left_out = {
        "disable_assistants": "/assistants/x",
        "disable_threads": "/threads/x",
        "disable_runs": "/threads/x/runs",
        "disable_store": "/store/items?key=k&namespace=n",
        "disable_meta": "/info",
    }
    with stack.serving(settings=http_settings(dict.fromkeys(left_out, True))) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            gone = ("/docs", "/openapi.json", "/mcp", "/v1/models", "/a2a/x/.well-known/agent-card.json")
            for path in (*left_out.values(), *gone):
                assert (path, (await http.get(path)).status_code) == (path, 404)
            assert (await http.get("/ok")).json() == {"ok": True}


async def test_a_projects_file_names_both(tmp_path: Path) -> None:
    def project(**more: Any) -> Any:
        (tmp_path / "langgraph.json").write_text(json.dumps({"graphs": {"a": "./a.py:g"}, **more}))
        return load_project(tmp_path)

    async def load(**more: Any) -> Any:
        found = project(**more)
        return await load_access(found, http_settings(found.http))

    (tmp_path / "site.py").write_text(
        "from langgraph_sdk import Auth\nfrom starlette.applications import Starlette\nauth = Auth()\napp = Starlette()\n"
        "@auth.authenticate\nasync def who():\n    return 'me'\n"
    )
    assert await load() == (None, None)
    authenticator, app = await load(
        auth={"path": "./site.py:auth", "disable_studio_auth": True}, http={"app": "./site.py:app"}
    )
    assert isinstance(authenticator, Authenticator)
    assert isinstance(app, Starlette)
    for wrong, error in (
        ({"auth": "./site.py:auth"}, "auth: must be an object"),
        ({"auth": {"disable_studio_auth": True}}, "auth has no path"),
        ({"auth": {"path": "./site.py:app"}}, "not a langgraph_sdk.Auth"),
        ({"auth": {"path": "./site.py:nothing"}}, "no 'nothing'"),
        ({"http": {"app": "./site.py:auth"}}, "http.app names a Auth"),
        ({"http": {"mount_prefix": "agents/"}}, "http.mount_prefix"),
        ({"http": {"middleware_order": "both"}}, "http.middleware_order"),
        ({"http": []}, "http: must be an object"),
    ):
        with pytest.raises((ConfigError, GraphLoadError), match=error):
            await load(**wrong)


async def test_a_lifespan_that_does_not_begin_says_so() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        yield {"db": "open"}

    @asynccontextmanager
    async def broken(app: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    async def state(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.db)

    app = Starlette(routes=[Route("/state", state)], lifespan=lifespan)
    async with (
        living(app) as served,
        httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://x") as http,
    ):
        assert (await http.get("/state")).text == "open"
    with pytest.raises(ConfigError, match="no database"):
        async with living(Starlette(lifespan=broken)):
            pass
