"""What Agent Chat UI (of `create-agent-chat-app` 0.1.6) asks in a conversation with a question in it: its recorded requests."""

from __future__ import annotations

import json
from typing import Any

import httpx

PAGE = {"Origin": "http://localhost:5173"}
ASKED = {"stream_mode": ["values", "messages-tuple", "custom"], "on_disconnect": "cancel"}


async def streamed(http: httpx.AsyncClient, thread: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """The events of a run: their names and data."""
    told: list[tuple[str, Any]] = []
    async with http.stream("POST", f"/threads/{thread}/runs/stream", json={**ASKED, **body}) as answer:
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE["Origin"]
        event = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                told.append((event, json.loads(line[6:])))
    return told


async def test_a_conversation_of_agent_chat_ui(stack: Any) -> None:
    async with httpx.AsyncClient(base_url=stack.url, headers=PAGE, timeout=60) as http:
        asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        assert (await http.options("/threads", headers=asks)).status_code == 200
        found = await http.post(
            "/threads/search", json={"metadata": {"graph_id": "counsel"}, "limit": 100, "offset": 0}
        )
        assert found.status_code == 200
        assert (await http.get("/info")).status_code == 200
        thread = (await http.post("/threads", json={})).json()["thread_id"]

        said = {"id": "1d23bc3e-decf-48e0-9737-4dac21dc3327", "type": "human", "content": "hello there"}
        first = await streamed(http, thread, {"assistant_id": "counsel", "input": {"messages": [said]}})
        assert first[-1][0] == "values"
        [asked] = first[-1][1]["__interrupt__"]
        # The page is loaded anew: what it shows is the history's.
        latest, *_ = (await http.post(f"/threads/{thread}/history", json={"limit": 1000})).json()
        assert latest["tasks"][0]["interrupts"] == [asked]
        assert latest["values"]["messages"][0]["id"] == said["id"]

        place = {key: latest["checkpoint"][key] for key in ("checkpoint_id", "checkpoint_ns")}
        resume = {"command": {"resume": "go"}, "input": {}, "checkpoint": place, "assistant_id": "counsel"}
        last = await streamed(http, thread, resume)
        assert [m["content"] for m in last[-1][1]["messages"]] == ["hello there", "told go"]
