"""Threads, their states and histories."""

from __future__ import annotations

import uuid
from typing import Any

from peer_script import Script

__all__ = ["SCENARIOS"]


async def a_thread_is_made_read_changed_and_deleted(s: Script) -> None:
    made = await s.client.threads.create(metadata={"tag": s.tag, "n": 1})
    name = made["thread_id"]
    s.note("made", made)
    s.note("read", await s.client.threads.get(name))
    s.note("changed", await s.client.threads.update(name, metadata={"n": 2, "m": [1, {"deep": True}]}))
    s.note("changed and read", (await s.client.threads.get(name))["metadata"])
    s.note("deleted", await s.client.threads.delete(name))
    await s.refused("read after", s.client.threads.get(name))
    await s.refused("deleted again", s.client.threads.delete(name))
    await s.refused("changed after", s.client.threads.update(name, metadata={}))


async def a_thread_whose_id_is_given(s: Script) -> None:
    name = str(uuid.uuid4())
    s.note("made", await s.client.threads.create(thread_id=name, metadata={"a": 1}))
    await s.refused("again", s.client.threads.create(thread_id=name))
    again = await s.client.threads.create(thread_id=name, if_exists="do_nothing", metadata={"b": 2})
    s.note("again, if it exists do nothing", again["metadata"])
    s.note("for a graph", (await s.client.threads.create(graph_id="steps"))["metadata"])


async def threads_are_found(s: Script) -> None:
    search = s.client.threads.search
    names = [await s.thread(metadata={"tag": s.tag, "n": n}) for n in range(3)]
    await s.client.runs.wait(names[0], "steps", input={"log": []})
    await s.client.runs.wait(names[1], "asking", input={"log": []})
    mine = {"tag": s.tag}
    found = await s.until(
        lambda: search(metadata=mine, status="interrupted"),
        lambda found: len(found) == 1,
    )
    await s.until(lambda: search(metadata=mine, status="idle"), lambda found: len(found) == 2)
    s.note("interrupted", [(t["metadata"]["n"], t["status"]) for t in found])
    s.note("all, as made", [t["metadata"]["n"] for t in await search(metadata=mine)])
    ascending = await search(metadata=mine, sort_by="created_at", sort_order="asc")
    s.note("ascending", [t["metadata"]["n"] for t in ascending])
    page = await search(metadata=mine, sort_by="created_at", sort_order="asc", limit=1, offset=1)
    s.note("page", [t["metadata"]["n"] for t in page])
    s.note("select", await search(metadata=mine | {"n": 2}, select=["thread_id", "status", "values"]))
    s.note("two keys", [t["status"] for t in await search(metadata=mine | {"n": 1})])
    s.note("nothing", await search(metadata=mine | {"n": 7}))
    s.note("count", await s.client.threads.count(metadata=mine))
    s.note("count idle", await s.client.threads.count(metadata=mine, status="idle"))
    s.note("ids", [t["metadata"]["n"] for t in await search(ids=[names[2]])])
    [finished] = await search(metadata=mine | {"n": 0})
    s.note("finished", finished)
    answer = await s.http.post("/threads/search", json={"metadata": mine, "limit": 2})
    s.note("pagination", answer.headers.get("X-Pagination-Next"))


async def a_thread_is_copied(s: Script) -> None:
    thread = await s.thread(metadata={"tag": s.tag})
    await s.client.runs.wait(thread, "asking", input={"log": ["in"]})
    await s.client.threads.copy(thread)
    copies = await s.until(
        lambda: s.client.threads.search(metadata={"tag": s.tag}), lambda found: len(found) == 2
    )
    [copy] = [t["thread_id"] for t in copies if t["thread_id"] != thread]
    state = await s.client.threads.get_state(copy)
    s.note("state", {k: state[k] for k in ("values", "next")})
    s.note("interrupts", [i["value"] for t in state["tasks"] for i in t["interrupts"]])
    s.note("goes on", await s.client.runs.wait(copy, "asking", command={"resume": "go"}))
    s.note("the first waits", (await s.client.threads.get_state(thread))["next"])
    await s.refused("of nothing", s.client.threads.copy(str(uuid.uuid4())))


async def states(s: Script) -> None:
    thread = await s.thread()
    s.note("empty", await s.client.threads.get_state(thread))
    s.note("empty history", await s.client.threads.get_history(thread))
    await s.client.runs.wait(thread, "steps", input={"log": ["in"]})
    state = await s.client.threads.get_state(thread)
    s.note("after a run", state)
    history = await s.client.threads.get_history(thread)
    s.note("history", history)
    s.note("limit", [h["next"] for h in await s.client.threads.get_history(thread, limit=2)])
    filtered = await s.client.threads.get_history(thread, metadata={"source": "input"})
    s.note("metadata", [h["next"] for h in filtered])
    at = history[2]["checkpoint"]
    s.note("at a checkpoint", await s.client.threads.get_state(thread, checkpoint=at))
    by_id = await s.client.threads.get_state(thread, checkpoint_id=at["checkpoint_id"])
    s.note("at a checkpoint's id", by_id["values"])
    thread_now = await s.client.threads.get(thread)
    s.note("thread", thread_now)
    await s.refused("of nothing", s.client.threads.get_state(str(uuid.uuid4())))
    await s.refused("history of nothing", s.client.threads.get_history(str(uuid.uuid4())))
    await s.refused("unknown checkpoint", s.client.threads.get_state(thread, checkpoint_id=str(uuid.uuid4())))


async def a_state_is_updated(s: Script) -> None:
    thread = await s.thread()
    await s.client.runs.wait(thread, "steps", input={"log": ["in"]}, interrupt_before=["second"])
    s.note("answer", await s.client.threads.update_state(thread, {"log": ["by hand"]}))
    state = await s.client.threads.get_state(thread)
    s.note("state", {k: state[k] for k in ("values", "next", "metadata")})
    await s.client.threads.update_state(thread, {"log": ["as second"]}, as_node="second")
    state = await s.client.threads.get_state(thread)
    s.note("as a node", {k: state[k] for k in ("values", "next", "metadata")})
    sources = [h["metadata"]["source"] for h in await s.client.threads.get_history(thread)]
    s.note("history", sources)
    await s.refused("as no node", s.client.threads.update_state(thread, {"log": ["x"]}, as_node="nobody"))
    fresh = await s.thread()
    await s.refused("of a thread without a graph", s.client.threads.update_state(fresh, {"log": ["x"]}))
    await s.refused("of nothing", s.client.threads.update_state(str(uuid.uuid4()), {"log": []}))


async def a_fork(s: Script) -> None:
    thread = await s.thread()
    await s.client.runs.wait(thread, "steps", input={"log": ["in"]})
    history = await s.client.threads.get_history(thread)
    at = next(h for h in history if h["next"] == ["second"])["checkpoint"]
    s.note("from a checkpoint", await s.client.runs.wait(thread, "steps", input=None, checkpoint=at))
    after = await s.client.threads.get_history(thread)
    s.note("sources", [h["metadata"]["source"] for h in after])
    update: Any = await s.client.threads.update_state(thread, {"log": ["other"]}, checkpoint=at)
    forked = await s.client.runs.wait(thread, "steps", input=None, checkpoint=update["checkpoint"])
    s.note("from an updated checkpoint", forked)
    by_id = await s.client.runs.wait(thread, "steps", input=None, checkpoint_id=at["checkpoint_id"])
    s.note("by its id", by_id)
    await s.refused(
        "from an unknown checkpoint",
        s.client.runs.wait(thread, "steps", input=None, checkpoint_id=str(uuid.uuid4())),
    )


async def a_state_with_subgraphs(s: Script) -> None:
    thread = await s.thread()
    await s.client.runs.wait(thread, "asking_inside", input={"log": ["in"]})
    state = await s.client.threads.get_state(thread)
    s.note("outside", {k: state[k] for k in ("next", "tasks", "interrupts")})
    s.note("go on", await s.client.runs.wait(thread, "asking_inside", command={"resume": "yes"}))


SCENARIOS = [
    a_thread_is_made_read_changed_and_deleted,
    a_thread_whose_id_is_given,
    threads_are_found,
    a_thread_is_copied,
    states,
    a_state_is_updated,
    a_fork,
    a_state_with_subgraphs,
]
