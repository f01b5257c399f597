"""`/mcp` with MCP's own client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from sdk_stack import Stack


async def test_assistants_are_tools(stack: Stack) -> None:
    mcp = pytest.importorskip("mcp")
    async with mcp.Client(f"{stack.url}/mcp") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"chat", "steps", "asking", "failing"} <= set(tools)
        assert "log" in tools["steps"].input_schema["properties"]
        done = await client.call_tool("steps", {"log": ["zero"]})
        assert done.is_error is False
        assert done.structured_content == {"log": ["zero", "first plain", "second"]}
        said = await client.call_tool("chat", {"messages": [{"role": "user", "content": "hi"}]})
        assert said.content[0].text == "you said: hi"
        asked = await client.call_tool("asking", {"log": []})
        assert (asked.is_error, "what now?" in asked.content[0].text) == (True, True)
        broken = await client.call_tool("failing", {"log": []})
        assert (broken.is_error, "no such customer" in broken.content[0].text) == (True, True)
        unfit = await client.call_tool("steps", {"log": 5})
        assert unfit.is_error is True
        with pytest.raises(mcp.MCPError, match="no tool 'nothing'"):
            await client.call_tool("nothing", {})


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"[]", 400, -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}', 400, -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "resources/list"}', 200, -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 5}}', 200, -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}', 200, None),
        (b'{"jsonrpc": "2.0", "method": "notifications/initialized"}', 202, None),
        (b'{"jsonrpc": "2.0", "id": 1, "result": {}}', 202, None),
    ],
)
async def test_messages_of_any_kind(stack: Stack, content: bytes, status: int, code: int | None) -> None:
    async with httpx.AsyncClient(base_url=stack.url) as http:
        answer = await http.post("/mcp", content=content, headers={"Content-Type": "application/json"})
    body: Any = answer.json() if answer.content else {}
    assert (answer.status_code, body.get("error", {}).get("code")) == (status, code)


async def test_only_json_is_taken_and_there_are_no_sessions(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.url) as http:
        assert (
            await http.post("/mcp", content=b"{}", headers={"Content-Type": "text/plain"})
        ).status_code == 415
        assert (await http.get("/mcp")).status_code == 405
        assert (await http.delete("/mcp")).status_code == 405
