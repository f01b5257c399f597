"""Messages as spans carry them where content is captured: JSON as OpenTelemetry's GenAI conventions have it.

Side: activities. Off unless `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` is true.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

__all__ = ["CONTENT_VARIABLE", "as_json", "captured", "said"]

CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


def captured() -> bool:
    """Whether spans may say what was said."""
    return os.environ.get(CONTENT_VARIABLE, "").strip().lower() in (
        "true",
        "1",
        "span_only",
        "span_and_event",
    )


def said(messages: Iterable[BaseMessage]) -> str:
    return as_json([_message(message) for message in messages])


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _message(message: BaseMessage) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if isinstance(message, ToolMessage):
        parts.append({"type": "tool_call_response", "id": message.tool_call_id, "response": message.text})
    elif message.text:
        parts.append({"type": "text", "content": message.text})
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            asked = {"id": call["id"], "name": call["name"], "arguments": call["args"]}
            parts.append({"type": "tool_call", **asked})
    told = {
        "role": _ROLES.get(message.type.removesuffix("MessageChunk").lower(), message.type),
        "parts": parts,
    }
    reason = message.response_metadata.get("finish_reason") or message.response_metadata.get("stop_reason")
    return {**told, "finish_reason": reason} if reason else told
