"""`FakeAnthropic`: Anthropic's Messages API on loopback.

Side: testing, public. Implemented: `POST /v1/messages`, streamed and not, tools, usage, errors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from perdure.testing.providers.exchange import chunks
from perdure.testing.providers.script import Call, Reply, Status, ToolCall
from perdure.testing.providers.server import FakeProvider

__all__ = ["FakeAnthropic"]

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STOPS = {
    "end": "end_turn",
    "tools": "tool_use",
    "max_tokens": "max_tokens",
    "refusal": "refusal",
    "filtered": "refusal",
}


class FakeAnthropic(FakeProvider):
    """Anthropic's Messages API.

        with FakeAnthropic([Status(529), "Hello."]) as provider:
            model = ChatAnthropic(model="claude-sonnet-5", **provider.options)

    See `FakeProvider` for the arguments.
    """

    paths = ("/v1/messages",)

    @property
    def base_url(self) -> str:
        return self.url

    def whole(self, call: Call, reply: Reply) -> dict[str, Any]:
        given, made = reply.usage(call.body)
        content = [{"type": "text", "text": reply.text}] if reply.text else []
        tools = [_tool_use(call, number, tool) for number, tool in enumerate(reply.tools, 1)]
        return {
            **_message(call),
            "content": [*content, *tools],
            "stop_reason": _STOPS[reply.stopped],
            "usage": {"input_tokens": given, "output_tokens": made},
        }

    def events(self, call: Call, reply: Reply) -> Iterator[str]:
        given, made = reply.usage(call.body)
        message = {**_message(call), "usage": {"input_tokens": given, "output_tokens": 1}}
        yield _event("message_start", message=message)
        index = 0
        if reply.text:
            yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            for piece in chunks(reply.text, reply.chunk_chars):
                yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
            yield _event("content_block_stop", index=0)
            index = 1
        for number, tool in enumerate(reply.tools, 1):
            block = {**_tool_use(call, number, tool), "input": {}}
            yield _event("content_block_start", index=index, content_block=block)
            for piece in chunks(tool.text, reply.chunk_chars):
                delta = {"type": "input_json_delta", "partial_json": piece}
                yield _event("content_block_delta", index=index, delta=delta)
            yield _event("content_block_stop", index=index)
            index += 1
        delta = {"stop_reason": _STOPS[reply.stopped], "stop_sequence": None}
        usage = {"input_tokens": given, "output_tokens": made}
        yield _event("message_delta", delta=delta, usage=usage)
        yield _event("message_stop")

    def error(self, status: Status) -> dict[str, Any]:
        kind = status.type or _ERRORS.get(status.code, "api_error" if status.code >= 500 else _ERRORS[400])
        return {"type": "error", "error": {"type": kind, "message": status.message}}

    def error_event(self, status: Status) -> str:
        return f"event: error\ndata: {json.dumps(self.error(status))}\n\n"

    def headers(self, call: Call) -> Mapping[str, str]:
        return {"request-id": f"req_{call.number:06}"}


def _message(call: Call) -> dict[str, Any]:
    return {
        "id": f"msg_{call.number:06}",
        "type": "message",
        "role": "assistant",
        "model": call.body.get("model", "claude"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _tool_use(call: Call, number: int, tool: ToolCall) -> dict[str, Any]:
    # In one piece the API sends arguments as an object; what is none stays the text that it is.
    args = tool.args
    if isinstance(args, str):
        try:
            args = json.loads(args)
        except ValueError:
            pass
    return {
        "type": "tool_use",
        "id": tool.id or f"toolu_{call.number:04}_{number}",
        "name": tool.name,
        "input": args,
    }


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"
