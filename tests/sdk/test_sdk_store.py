"""`client.store` of the real SDK."""

from __future__ import annotations

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import UnprocessableEntityError


async def test_items(client: LangGraphClient) -> None:
    await client.store.put_item(("users", "ada"), key="likes", value={"food": "figs"})
    item = await client.store.get_item(("users", "ada"), key="likes")
    assert (item["namespace"], item["value"]) == (["users", "ada"], {"food": "figs"})
    assert item["created_at"]
    assert await client.store.get_item(("users", "ada"), key="nothing") is None
    found = await client.store.search_items(("users",), filter={"food": "figs"})
    assert [item["key"] for item in found["items"]] == ["likes"]
    assert (await client.store.search_items(("users",), filter={"food": "x"}))["items"] == []
    await client.store.delete_item(("users", "ada"), key="likes")
    assert await client.store.get_item(("users", "ada"), key="likes") is None


async def test_namespaces(client: LangGraphClient) -> None:
    for label in ("a", "b"):
        await client.store.put_item(("spaces", label), key="k", value={})
    listed = await client.store.list_namespaces(prefix=["spaces"])
    assert listed["namespaces"] == [["spaces", "a"], ["spaces", "b"]]
    await client.assistants.create("steps")
    assert all(item[0] != "perdure" for item in (await client.store.list_namespaces())["namespaces"])


async def test_bad_items(client: LangGraphClient) -> None:
    with pytest.raises(UnprocessableEntityError, match="namespace"):
        await client.store.put_item((), key="k", value={})
    with pytest.raises(UnprocessableEntityError, match="perdure"):
        await client.store.put_item(("perdure", "assistants"), key="k", value={})
    async with httpx.AsyncClient(base_url=str(client.http.client.base_url)) as http:
        answer = await http.put("/store/items", json={"namespace": ["a.b"], "key": "k", "value": {}})
        assert answer.status_code == 422
