"""`/assistants`. Side: server."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from perdure._compat import Pregel
from perdure.contract import names
from perdure.server.answers import Assistant, AssistantVersion, DrawnGraph, GraphSchemas, NamedSchemas, told
from perdure.server.backend import Server, answer
from perdure.server.bodies import (
    AssistantCreate,
    AssistantLatest,
    AssistantPatch,
    AssistantSearch,
    VersionSearch,
)
from perdure.server.errors import failed
from perdure.server.filters import matches, quoted
from perdure.server.schemas import schemas
from perdure.server.shapes import page_of

__all__ = ["router"]

router = APIRouter(tags=["assistants"])


@router.post("/assistants", **told(Assistant))
async def create_assistant(server: Server, body: AssistantCreate) -> Response:
    # Whoever may not see it is not given the one that there is.
    if_exists = body.if_exists
    if server.caller.filters and body.assistant_id and if_exists == "do_nothing":
        known = await server.assistants.find(body.assistant_id)
        if known is not None and not matches(known["metadata"], server.caller.filters):
            if_exists = "raise"
    given = body.model_dump() | {"config": body.config.given(), "if_exists": if_exists}
    return answer(await server.assistants.create(given))


@router.post("/assistants/search", **told(list[Assistant]))
async def search_assistants(server: Server, body: AssistantSearch) -> Response:
    found = await _search(server, body)
    page, more = page_of(found, body.offset, body.limit, body.select)
    return answer(page, headers=more)


@router.post("/assistants/count", **told(int))
async def count_assistants(server: Server, body: AssistantSearch) -> Response:
    return answer(len(await _search(server, body)))


@router.get("/assistants/{assistant_id}", **told(Assistant))
async def get_assistant(server: Server, assistant_id: str) -> Response:
    return answer(await server.assistants.get(assistant_id))


@router.patch("/assistants/{assistant_id}", **told(Assistant))
async def update_assistant(server: Server, assistant_id: str, body: AssistantPatch) -> Response:
    config = None if body.config is None else body.config.given()
    return answer(await server.assistants.update(assistant_id, body.model_dump() | {"config": config}))


@router.delete("/assistants/{assistant_id}", status_code=204)
async def delete_assistant(server: Server, assistant_id: str, delete_threads: bool = False) -> None:
    await server.assistants.delete(assistant_id)
    if delete_threads:
        async for line in server.threads.search(
            [f"{names.SEARCH_METADATA} = {quoted(f'assistant_id={assistant_id}')}"]
        ):
            own = await server.caller.allow(
                "threads", "delete", {"thread_id": line.thread_id, "metadata": {}}
            )
            if matches(line.metadata, own):
                await server.threads.delete(line.thread_id)


@router.get("/assistants/{assistant_id}/graph", **told(DrawnGraph))
async def get_graph(server: Server, assistant_id: str, xray: bool | int = False) -> Response:
    graph = await _graph(server, assistant_id)
    try:
        drawn = (await graph.aget_graph(xray=xray)).to_json()
    except NotImplementedError:
        raise failed(422, "The graph does not support visualization") from None
    for node in drawn["nodes"]:
        # Where the node's class is defined, which LangGraph's server does not tell.
        if isinstance(node.get("data"), dict):
            node["data"].pop("id", None)
    return answer(drawn)


@router.get("/assistants/{assistant_id}/schemas", **told(GraphSchemas))
async def get_schemas(server: Server, assistant_id: str) -> Response:
    assistant = await server.assistants.get(assistant_id)
    name = assistant["graph_id"]
    graph = server.registry.graph(name).copy({"name": name})
    return answer({"graph_id": name, **schemas(graph)})


@router.get("/assistants/{assistant_id}/subgraphs", **told(dict[str, NamedSchemas]))
async def get_subgraphs(server: Server, assistant_id: str, recurse: bool = False) -> Response:
    return await _subgraphs(await _graph(server, assistant_id), None, recurse=recurse)


@router.get("/assistants/{assistant_id}/subgraphs/{namespace}", **told(dict[str, NamedSchemas]))
async def get_subgraph(server: Server, assistant_id: str, namespace: str, recurse: bool = False) -> Response:
    return await _subgraphs(await _graph(server, assistant_id), namespace, recurse=recurse)


@router.post("/assistants/{assistant_id}/versions", **told(list[AssistantVersion]))
async def get_versions(server: Server, assistant_id: str, body: VersionSearch) -> Response:
    found = await server.assistants.versions(assistant_id, body.metadata)
    found = [version for version in found if matches(version["metadata"], server.caller.filters)]
    return answer(found[body.offset : body.offset + body.limit])


@router.post("/assistants/{assistant_id}/latest", **told(Assistant))
async def set_latest(server: Server, assistant_id: str, body: AssistantLatest) -> Response:
    return answer(await server.assistants.set_latest(assistant_id, body.version))


async def _search(server: Server, body: AssistantSearch) -> list[dict[str, Any]]:
    found = await server.assistants.search(body.model_dump())
    return [assistant for assistant in found if matches(assistant["metadata"], server.caller.filters)]


async def _graph(server: Server, assistant_id: str) -> Pregel[Any, Any, Any, Any]:
    assistant = await server.assistants.get(assistant_id)
    return server.registry.graph(assistant["graph_id"])


async def _subgraphs(graph: Pregel[Any, Any, Any, Any], namespace: str | None, *, recurse: bool) -> Response:
    found = [item async for item in graph.aget_subgraphs(namespace=namespace, recurse=recurse)]
    shown = {name: subgraph for name, subgraph in found if isinstance(subgraph, Pregel)}
    return answer({name: schemas(subgraph) for name, subgraph in shown.items()})
