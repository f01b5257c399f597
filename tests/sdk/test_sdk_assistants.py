"""`client.assistants` of the real SDK."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

NAMESPACE = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")


async def test_every_graph_has_an_assistant(client: LangGraphClient) -> None:
    found = await client.assistants.search(metadata={"created_by": "system"}, limit=100)
    names = {item["graph_id"]: item["assistant_id"] for item in found}
    assert names["steps"] == str(uuid.uuid5(NAMESPACE, "steps"))
    assert set(names) >= {"chat", "steps", "asking"}
    one = await client.assistants.get(names["steps"])
    assert (one["name"], one["version"], one["config"]) == ("steps", 1, {})
    with pytest.raises(ConflictError):
        await client.assistants.delete(names["steps"])


async def test_an_assistant_of_ones_own(client: LangGraphClient) -> None:
    made = await client.assistants.create(
        "steps", context={"tone": "warm"}, metadata={"team": "a"}, name="Warm", description="says it warmly"
    )
    assert (made["graph_id"], made["name"], made["version"]) == ("steps", "Warm", 1)
    values: Any = await client.runs.wait(None, made["assistant_id"], input={"log": []})
    assert values["log"][0] == "first warm"
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, made["assistant_id"], input={"log": []})
    assert (run["assistant_id"], run["metadata"]["team"]) == (made["assistant_id"], "a")
    again = await client.assistants.create("steps", assistant_id=made["assistant_id"], if_exists="do_nothing")
    assert again == made
    with pytest.raises(ConflictError):
        await client.assistants.create("steps", assistant_id=made["assistant_id"])
    assert [a["name"] for a in await client.assistants.search(metadata={"team": "a"})] == ["Warm"]
    assert await client.assistants.count(metadata={"team": "a"}) == 1
    await client.assistants.delete(made["assistant_id"])
    with pytest.raises(NotFoundError):
        await client.assistants.get(made["assistant_id"])


async def test_versions(client: LangGraphClient) -> None:
    made = await client.assistants.create("steps", context={"tone": "one"})
    name = made["assistant_id"]
    changed = await client.assistants.update(name, context={"tone": "two"}, metadata={"k": 1})
    assert (changed["version"], changed["context"]) == (2, {"tone": "two"})
    versions: Any = await client.assistants.get_versions(name)
    assert [item["version"] for item in versions] == [2, 1]
    back = await client.assistants.set_latest(name, 1)
    assert (back["version"], back["context"]) == (1, {"tone": "one"})
    assert (await client.assistants.get(name))["context"] == {"tone": "one"}
    third = await client.assistants.update(name, name="renamed")
    assert (third["version"], third["context"]) == (3, {"tone": "one"})
    with pytest.raises(NotFoundError):
        await client.assistants.set_latest(name, 9)


async def test_pages_of_assistants(client: LangGraphClient) -> None:
    tag = uuid.uuid4().hex
    for number in range(3):
        await client.assistants.create("steps", metadata={"tag": tag}, name=f"n{number}")
    page = await client.assistants.search(
        metadata={"tag": tag}, limit=2, sort_by="name", sort_order="asc", response_format="object"
    )
    assert [item["name"] for item in page["assistants"]] == ["n0", "n1"]
    assert page["next"] == "2"
    [last] = await client.assistants.search(metadata={"tag": tag}, offset=2, sort_by="name", sort_order="asc")
    assert last["name"] == "n2"


async def test_what_a_graph_looks_like(client: LangGraphClient) -> None:
    graph: Any = await client.assistants.get_graph("steps")
    assert {node["id"] for node in graph["nodes"]} == {"__start__", "first", "second", "__end__"}
    schemas: Any = await client.assistants.get_schemas("steps")
    assert schemas["graph_id"] == "steps"
    assert "log" in schemas["input_schema"]["properties"]
    assert "log" in schemas["state_schema"]["properties"]
    assert "tone" in schemas["context_schema"]["properties"]
    inner = await client.assistants.get_subgraphs("outer")
    assert set(inner) == {"inner"}
    assert set(await client.assistants.get_subgraphs("outer", namespace="inner")) == {"inner"}


async def test_unknown_graphs_and_assistants(client: LangGraphClient) -> None:
    with pytest.raises(NotFoundError):
        await client.assistants.create("nothing")
    with pytest.raises(NotFoundError):
        await client.assistants.get(str(uuid.uuid4()))
    with pytest.raises(UnprocessableEntityError, match="graph_id"):
        await client.assistants.create(None)
