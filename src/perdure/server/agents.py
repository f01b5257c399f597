"""Assistants as other protocols see them: by name, asked with messages, answering with text.

Side: server. MCP, A2A and OpenAI's API are three ways to say the same; this is the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from perdure.server.backend import Backend
from perdure.server.bodies import RunCreate
from perdure.server.filters import matches
from perdure.server.runs import Started, run_result, start
from perdure.streams.wire import to_json

__all__ = ["Outcome", "ask", "asks", "assistants_by_name", "message_text", "outcome_of"]

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_NAME = 128
_ASKED = "__interrupt__"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `values` of the graph; what is `asked`, as `{"id", "value"}`; or why it `failed`."""

    values: Any
    asked: list[dict[str, Any]]
    failed: str | None = None

    @property
    def text(self) -> str:
        """What a reader should see: the question, the failure, the last message, or all values."""
        if self.failed is not None:
            return self.failed
        if self.asked:
            return "\n\n".join(_shown(item["value"]) for item in self.asked)
        messages: Any = (
            cast("dict[str, Any]", self.values).get("messages") if isinstance(self.values, dict) else None
        )
        if isinstance(messages, list) and messages:
            return message_text(messages[-1])
        return _shown(self.values)


async def assistants_by_name(backend: Backend) -> dict[str, dict[str, Any]]:
    """All that the caller may see, oldest first. Names are plain; of namesakes the later ones carry a part of their id."""
    filters = await backend.caller.allow("assistants", "search", {"metadata": {}, "limit": 1000, "offset": 0})
    named: dict[str, dict[str, Any]] = {}
    for assistant in await backend.assistants.search({"sort_order": "asc"}):
        if not matches(assistant["metadata"], filters):
            continue
        name = _NOT_IN_NAMES.sub("_", str(assistant["name"]))[:_LONGEST_NAME] or "assistant"
        if name in named:
            name = f"{name[: _LONGEST_NAME - 9]}-{str(assistant['assistant_id'])[:8]}"
        named[name] = assistant
    return named


async def ask(backend: Backend, thread_id: str | None, body: Mapping[str, Any]) -> tuple[Started, Outcome]:
    """Start a run and wait for its end. Raises as `start`; ValidationError for what is no run."""
    started = await start(backend, thread_id, RunCreate.model_validate(body))
    return started, outcome_of(await run_result(backend, started))


async def asks(backend: Backend, thread_id: str) -> bool:
    """Whether a thread that the caller may read waits for an answer."""
    filters = await backend.caller.allow("threads", "read", {"thread_id": thread_id})
    return await backend.asked_by(backend.caller.filtered(filters)).is_interrupted(thread_id)


def outcome_of(result: Any) -> Outcome:
    plain = json.loads(to_json(result))
    if not isinstance(plain, dict):
        return Outcome(plain, [])
    values = cast("dict[str, Any]", plain)
    if "__error__" in values:
        error: dict[str, Any] = values["__error__"]
        return Outcome({}, [], f"{error.get('error')}: {error.get('message')}")
    return Outcome({key: item for key, item in values.items() if key != _ASKED}, values.get(_ASKED) or [])


def message_text(message: Any) -> str:
    """The text of a message's content, whichever its form."""
    content: Any = cast("dict[str, Any]", message).get("content") if isinstance(message, dict) else message
    if isinstance(content, str):
        return content
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    texts = [
        part if isinstance(part, str) else part.get("text") for part in parts if isinstance(part, str | dict)
    ]
    return "".join(text for text in texts if isinstance(text, str))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
