"""A project's `auth.py`, as LangGraph's documents teach it."""

from __future__ import annotations

from typing import Any

from langgraph_sdk import Auth

__all__ = ["USERS", "auth", "bare"]

USERS = {"Bearer ann": "ann", "Bearer bob": "bob", "Bearer root": "root"}

auth = Auth()


@auth.authenticate
async def authenticate(authorization: str | None, path: str, method: str) -> Auth.types.MinimalUserDict:
    assert path.startswith("/")
    assert method
    if authorization == "Bearer broken":
        raise RuntimeError("the password is hunter2")
    if authorization == "Bearer late":
        raise Auth.exceptions.HTTPException(429, "later", headers={"Retry-After": "7"})
    user = USERS.get(authorization or "")
    if user is None:
        raise Auth.exceptions.HTTPException(401, "who are you?")
    return {"identity": user, "team": "blue", "permissions": ["admin"] if user == "root" else ["use"]}  # type: ignore[typeddict-unknown-key]


@auth.on
async def owner_only(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> Any:
    if "admin" in ctx.permissions:
        return True
    value.setdefault("metadata", {})["owner"] = ctx.user.identity
    return {"owner": {"$eq": ctx.user.identity}}


@auth.on.assistants.read
async def read_assistants(ctx: Auth.types.AuthContext, value: Any) -> Any:
    if "admin" in ctx.permissions:
        return None
    return {"$or": [{"owner": ctx.user.identity}, {"created_by": "system"}]}


@auth.on.assistants.search
async def search_assistants(ctx: Auth.types.AuthContext, value: Any) -> Any:
    return await read_assistants(ctx, value)


@auth.on.assistants.delete
async def delete_assistants(ctx: Auth.types.AuthContext, value: Any) -> bool:
    return "admin" in ctx.permissions


@auth.on.threads.delete
async def delete_threads(ctx: Auth.types.AuthContext, value: Any) -> Any:
    if str(value.get("thread_id", "")).startswith("raise"):
        raise ValueError("the password is hunter2")
    if str(value.get("thread_id", "")).startswith("teapot"):
        raise Auth.exceptions.HTTPException(418, "short and stout")
    assert value.get("thread_id") != "asserted", "not this one"
    return {"owner": ctx.user.identity}


@auth.on.store
async def own_memory(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> None:
    value["namespace"] = (ctx.user.identity, *(value["namespace"] or ()))


bare = Auth()


@bare.authenticate
def anybody_with_a_key(
    headers: dict[bytes, bytes], query_params: Any, path_params: dict[str, str], body: Any
) -> str:
    if headers.get(b"x-api-key") != b"let me in":
        raise Auth.exceptions.HTTPException
    assert path_params.get("thread_id", "x")
    return "holder"
