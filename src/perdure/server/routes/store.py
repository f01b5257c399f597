"""`/store`: the agents' long-term memory. Side: server."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from langgraph.store.base import Item

from perdure.server.answers import Item as Stored
from perdure.server.answers import Items, Namespaces, told
from perdure.server.backend import Server, answer
from perdure.server.bodies import ItemDelete, ItemPut, ItemSearch, NamespaceList
from perdure.server.errors import failed

__all__ = ["router"]

router = APIRouter(tags=["store"])

# Where the server keeps its assistants; and what LangGraph keeps for itself.
_RESERVED = ("perdure", "langgraph")


@router.put("/store/items", status_code=204)
async def put_item(server: Server, body: ItemPut) -> None:
    namespace = _namespace(body.namespace)
    options: dict[str, Any] = {} if body.ttl is None else {"ttl": body.ttl}
    try:
        await server.store.aput(namespace, body.key, body.value, index=body.index, **options)
    except NotImplementedError as error:
        raise failed(422, f"body.ttl: {error}") from error


@router.get("/store/items", **told(Stored | None, "The item, or null"))
async def get_item(
    server: Server, key: str, namespace: str = Query(min_length=1), refresh_ttl: bool | None = None
) -> Response:
    found = await server.store.aget(_namespace(namespace.split(".")), key, refresh_ttl=refresh_ttl)
    return answer(None if found is None else _item(found))


@router.delete("/store/items", status_code=204)
async def delete_item(server: Server, body: ItemDelete) -> None:
    await server.store.adelete(_namespace(body.namespace), body.key)


@router.post("/store/items/search", **told(Items))
async def search_items(server: Server, body: ItemSearch) -> Response:
    prefix = _namespace(body.namespace_prefix) if body.namespace_prefix else ()
    found = await server.store.asearch(
        prefix,
        query=body.query,
        filter=body.filter,
        limit=body.limit,
        offset=body.offset,
        refresh_ttl=body.refresh_ttl,
    )
    shown = [item for item in found if item.namespace[0] not in _RESERVED]
    return answer({"items": [{**_item(item), "score": item.score} for item in shown]})


@router.post("/store/namespaces", **told(Namespaces))
async def list_namespaces(server: Server, body: NamespaceList) -> Response:
    found = await server.store.alist_namespaces(
        prefix=tuple(body.prefix) if body.prefix else None,
        suffix=tuple(body.suffix) if body.suffix else None,
        max_depth=body.max_depth,
        limit=body.limit,
        offset=body.offset,
    )
    return answer({"namespaces": [list(item) for item in found if item[0] not in _RESERVED]})


def _namespace(labels: list[str]) -> tuple[str, ...]:
    if not all(labels) or any("." in label for label in labels):
        raise failed(422, "namespace: labels are not empty and have no '.'")
    if labels[0] in _RESERVED:
        raise failed(422, f"namespace: {labels[0]!r} is kept for the server itself")
    return tuple(labels)


def _item(item: Item) -> dict[str, Any]:
    def told(time: datetime | str) -> str:
        return time if isinstance(time, str) else time.isoformat()

    return {
        "namespace": list(item.namespace),
        "key": item.key,
        "value": item.value,
        "created_at": told(item.created_at),
        "updated_at": told(item.updated_at),
    }
