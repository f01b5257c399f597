"""Assistants, the store, and requests that are none."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
from peer_script import Script

__all__ = ["SCENARIOS"]

NOBODY = "00000000-0000-4000-8000-000000000000"


async def an_assistant(s: Script) -> None:
    made = await s.client.assistants.create(
        "steps", context={"tone": "warm"}, metadata={"tag": s.tag}, name="Warm", description="says it warmly"
    )
    name = made["assistant_id"]
    s.note("made", made)
    s.note("read", await s.client.assistants.get(name))
    s.note("runs", await s.client.runs.wait(None, name, input={"log": []}))
    await s.refused("again", s.client.assistants.create("steps", assistant_id=name))
    again = await s.client.assistants.create("steps", assistant_id=name, if_exists="do_nothing")
    s.note("if it exists", again["name"])
    s.note("changed", await s.client.assistants.update(name, context={"tone": "two"}, metadata={"k": 1}))
    s.note("versions", await s.client.assistants.get_versions(name))
    back = await s.client.assistants.set_latest(name, 1)
    s.note("back", {k: back[k] for k in ("version", "context", "metadata", "name")})
    third = await s.client.assistants.update(name, name="renamed")
    s.note("third", {k: third[k] for k in ("version", "context", "metadata", "name", "description")})
    await s.refused("no such version", s.client.assistants.set_latest(name, 9))
    s.note("deleted", await s.client.assistants.delete(name))
    await s.refused("read after", s.client.assistants.get(name))
    await s.refused("deleted again", s.client.assistants.delete(name))


async def assistants_are_found(s: Script) -> None:
    search, mine = s.client.assistants.search, {"tag": s.tag}
    for number in range(3):
        await s.client.assistants.create("steps" if number else "chat", metadata=mine, name=f"n{number}")
    s.note("all", [a["name"] for a in await search(metadata=mine)])
    s.note("by graph", [a["name"] for a in await search(metadata=mine, graph_id="chat")])
    s.note("by name", [a["name"] for a in await search(metadata=mine, name="N1")])
    ordered = await search(metadata=mine, sort_by="name", sort_order="asc", limit=2, offset=1)
    s.note("ordered", [a["name"] for a in ordered])
    s.note("select", await search(metadata=mine, graph_id="chat", select=["assistant_id", "name"]))
    s.note("count", await s.client.assistants.count(metadata=mine))
    s.note("count by graph", await s.client.assistants.count(metadata=mine, graph_id="steps"))
    s.note("count by name", await s.client.assistants.count(metadata=mine, name="n2"))
    system = await search(metadata={"created_by": "system"}, graph_id="steps")
    s.note("system", system)
    await s.refused("none", search(metadata=mine, graph_id="nothing"))
    await s.refused("for no graph", s.client.assistants.create("nothing"))
    await s.refused("read nobody", s.client.assistants.get(NOBODY))
    await s.refused("change nobody", s.client.assistants.update(NOBODY, name="x"))
    await s.refused("delete nobody", s.client.assistants.delete(NOBODY))


async def what_graphs_look_like(s: Script) -> None:
    found = await s.client.assistants.search(metadata={"created_by": "system"}, limit=100)
    ids = {item["graph_id"]: item["assistant_id"] for item in found}
    for name in ("steps", "outer", "fan", "jumping"):
        s.note(f"graph {name}", await s.client.assistants.get_graph(ids[name]))
    s.note("graph, inside", await s.client.assistants.get_graph(ids["outer"], xray=True))
    for name in ("steps", "chat"):
        s.note(f"schemas {name}", await s.client.assistants.get_schemas(ids[name]))
    s.note("subgraphs", await s.client.assistants.get_subgraphs(ids["outer"]))
    s.note("one subgraph", await s.client.assistants.get_subgraphs(ids["outer"], namespace="inner"))
    s.note("no subgraphs", await s.client.assistants.get_subgraphs(ids["steps"]))
    await s.refused("of nobody", s.client.assistants.get_graph(NOBODY))
    await s.refused("schemas of nobody", s.client.assistants.get_schemas(NOBODY))


async def the_store(s: Script) -> None:
    store, space = s.client.store, ["peer", s.tag]
    s.note("put", await store.put_item(space, "a", {"text": "one", "n": 1}))
    await store.put_item(space, "b", {"text": "two", "n": 2})
    await store.put_item([*space, "deep"], "c", {"text": "three", "n": 2})
    s.note("get", await store.get_item(space, "a"))
    s.note("search", sorted((await store.search_items(space))["items"], key=lambda item: item["key"]))
    s.note("filter", [i["key"] for i in (await store.search_items(space, filter={"n": 1}))["items"]])
    s.note("limit", len((await store.search_items(space, limit=2))["items"]))
    s.note("offset", len((await store.search_items(space, offset=2))["items"]))
    s.note("namespaces", sorted((await store.list_namespaces(prefix=space))["namespaces"]))
    depth = await store.list_namespaces(prefix=space, max_depth=2)
    s.note("depth", depth)
    s.note("suffix", await store.list_namespaces(prefix=space, suffix=["deep"]))
    await store.put_item(space, "a", {"text": "changed"})
    s.note("changed", (await store.get_item(space, "a"))["value"])
    s.note("deleted", await store.delete_item(space, "a"))
    s.note("deleted again", await store.delete_item(space, "a"))
    await s.refused("get after", store.get_item(space, "a"))
    await s.refused("a dot", store.put_item(["a.b"], "k", {}))
    await s.refused("an empty label", store.put_item([""], "k", {}))


# The peer breaks the connection where it fails, and the next request must not meet that.
_JSON = {"Content-Type": "application/json", "Connection": "close"}
_GRAPH = {"assistant_id": "steps"}
BAD: list[tuple[str, str, Any]] = [
    ("POST", "/threads", {"thread_id": 5}),
    ("POST", "/threads", {"metadata": "x"}),
    ("POST", "/threads", {"if_exists": "maybe"}),
    ("POST", "/threads", []),
    ("POST", "/threads/search", {"limit": -1}),
    ("POST", "/threads/search", {"limit": 0}),
    ("POST", "/threads/search", {"limit": 100_000}),
    ("POST", "/threads/search", {"offset": -1}),
    ("POST", "/threads/search", {"status": "happy"}),
    ("POST", "/threads/search", {"sort_by": "mood"}),
    ("POST", "/threads/search", {"metadata": []}),
    ("POST", "/threads/count", {"status": "happy"}),
    ("GET", "/threads/{thread}/history?limit=x", None),
    ("POST", "/threads/{thread}/history", {"limit": 0}),
    ("POST", "/threads/{thread}/state", {}),
    ("POST", "/threads/{thread}/state/checkpoint", {}),
    ("PUT", "/threads/{thread}", {}),
    ("PATCH", "/threads/{thread}", {"metadata": 5}),
    ("POST", "/threads/{thread}/runs", {}),
    ("POST", "/threads/{thread}/runs", {"assistant_id": 5}),
    ("POST", "/threads/{thread}/runs", _GRAPH | {"multitask_strategy": "shrug"}),
    ("POST", "/threads/{thread}/runs", _GRAPH | {"stream_mode": "nothing"}),
    ("POST", "/threads/{thread}/runs", _GRAPH | {"on_disconnect": "cry"}),
    ("POST", "/threads/{thread}/runs", _GRAPH | {"after_seconds": "x"}),
    ("POST", "/threads/{thread}/runs", _GRAPH | {"config": 5}),
    ("POST", "/threads/{thread}/runs", _GRAPH | {"command": 5}),
    ("POST", "/threads/{thread}/runs", _GRAPH | {"interrupt_before": 5}),
    ("POST", "/threads/{thread}/runs", _GRAPH | {"if_not_exists": "maybe"}),
    ("POST", "/threads/{thread}/runs/wait", _GRAPH | {"metadata": []}),
    ("POST", "/threads/{thread}/runs/stream", {}),
    ("GET", "/threads/{thread}/runs?limit=x", None),
    ("GET", "/threads/{thread}/runs?status=happy", None),
    ("GET", f"/threads/{{thread}}/runs/{NOBODY}", None),
    ("GET", f"/threads/{{thread}}/runs/{NOBODY}/join", None),
    ("DELETE", f"/threads/{{thread}}/runs/{NOBODY}", None),
    ("POST", f"/threads/{{thread}}/runs/{NOBODY}/cancel?action=hug", None),
    ("POST", "/runs/wait", {}),
    ("POST", "/runs/batch", {}),
    ("POST", "/runs/batch", [{}]),
    ("POST", "/runs/cancel", {}),
    ("POST", "/assistants", {}),
    ("POST", "/assistants", {"graph_id": 5}),
    ("POST", "/assistants", {"graph_id": "steps", "if_exists": "maybe"}),
    ("POST", "/assistants/search", {"limit": 0}),
    ("POST", "/assistants/search", {"sort_by": "mood"}),
    ("POST", "/assistants/{assistant}/latest", {}),
    ("POST", "/assistants/{assistant}/latest", {"version": "x"}),
    ("PATCH", "/assistants/{assistant}", {"graph_id": "nothing"}),
    ("PUT", "/store/items", {}),
    ("PUT", "/store/items", {"namespace": ["a"], "key": "k"}),
    ("PUT", "/store/items", {"namespace": "a", "key": "k", "value": {}}),
    ("PUT", "/store/items", {"namespace": ["a"], "key": "k", "value": 5}),
    ("GET", "/store/items", None),
    ("GET", "/store/items?key=none&namespace=nowhere", None),
    ("DELETE", "/store/items", {}),
    ("POST", "/store/items/search", {"limit": 0}),
    ("POST", "/store/namespaces", {"max_depth": "x"}),
    ("GET", "/nothing", None),
    ("DELETE", "/ok", None),
]


async def requests_that_are_none(s: Script) -> None:
    thread = await s.thread()
    assistant = (await s.client.assistants.create("steps", metadata={"tag": s.tag}))["assistant_id"]
    for number, (method, path, body) in enumerate(BAD):
        url = path.format(thread=thread, assistant=assistant)
        content = None if body is None else json.dumps(body)
        try:
            answer = await s.http.request(method, url, content=content, headers=_JSON)
        except httpx.TransportError:
            s.note(f"{number} {method} {path} {body}", 500)
        else:
            s.note(f"{number} {method} {path} {body}", answer.status_code)
    answer = await s.http.post("/threads", content=b"{", headers=_JSON)
    s.note("no JSON", answer.status_code)
    s.note("detail", sorted((await s.http.get(f"/threads/{uuid.uuid4()}")).json()))


SCENARIOS = [an_assistant, assistants_are_found, what_graphs_look_like, the_store, requests_that_are_none]
