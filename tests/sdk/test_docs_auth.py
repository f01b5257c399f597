"""The example of docs/auth.md, as a project has it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from langgraph_sdk import get_client

from perdure.graph.project import load_project
from perdure.server.custom import load_access
from perdure.server.http_settings import http_settings

if TYPE_CHECKING:
    from sdk_stack import Stack

PAGE = (Path(__file__).parents[2] / "docs" / "auth.md").read_text()


async def test_the_example_keeps_people_apart(stack: Stack, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    project, headers = (json.loads(found) for found in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    (tmp_path / "auth.py").write_text(code)
    (tmp_path / "langgraph.json").write_text(json.dumps({**project, **headers}))
    found = load_project(tmp_path)
    settings = http_settings(found.http)
    authenticator, _ = await load_access(found, settings)
    with stack.serving(authenticator=authenticator, settings=settings) as url:
        ann, bob, nobody = (
            get_client(url=url, headers={"Authorization": f"Bearer {token}", "X-Tenant": "acme"})
            for token in ("token-of-ann", "token-of-bob", "none")
        )
        thread = await ann.threads.create()
        result = await ann.runs.wait(thread["thread_id"], "whoami", input={"log": []})
        assert result["log"] == ["ann", "ann", "ann", ["chat"], None, "acme", None]
        for other, status in ((bob, 404), (nobody, 401)):
            with pytest.raises((httpx.HTTPStatusError, Exception)) as caught:
                await other.threads.get(thread["thread_id"])
            assert caught.value.response.status_code == status  # type: ignore[attr-defined]
        await ann.store.put_item(["notes"], "k", {"text": "anns"})
        assert await bob.store.get_item(["notes"], "k") is None
        assert "whoami" in {a["name"] for a in await bob.assistants.search(limit=100)}
