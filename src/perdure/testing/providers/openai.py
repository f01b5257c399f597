"""`FakeOpenAI`: OpenAI's Chat Completions API on loopback.

Side: testing, public. Implemented: `POST /v1/chat/completions`, streamed and not, tools, usage, errors. `ChatOpenAI` uses the
Responses API for some models and options (`gpt-6...` with tools, built-in tools, `reasoning=`): pass
`use_responses_api=False` then; the fake answers it with a 404.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from perdure.testing.providers.exchange import chunks
from perdure.testing.providers.script import Call, Reply, Status, ToolCall
from perdure.testing.providers.server import FakeProvider

__all__ = ["FakeOpenAI"]

_CREATED = 1_700_000_000
_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_exceeded"),
}
_STOPS = {
    "end": "stop",
    "tools": "tool_calls",
    "max_tokens": "length",
    "refusal": "stop",
    "filtered": "content_filter",
}


class FakeOpenAI(FakeProvider):
    """OpenAI's Chat Completions API.

        with FakeOpenAI([Status(503), "Hello."]) as provider:
            model = ChatOpenAI(model="gpt-4.1", **provider.options)

    See `FakeProvider` for the arguments.
    """

    paths = ("/v1/chat/completions",)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def whole(self, call: Call, reply: Reply) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if reply.tools and not reply.text else reply.text,
            "refusal": None,
        }
        if reply.stopped == "refusal":
            message |= {"content": None, "refusal": reply.text}
        if reply.tools:
            message["tool_calls"] = [_tool_call(call, number, tool) for number, tool in _numbered(reply)]
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": _STOPS[reply.stopped],
            "logprobs": None,
        }
        return {**_object(call, "chat.completion"), "choices": [choice], "usage": _usage(call, reply)}

    def events(self, call: Call, reply: Reply) -> Iterator[str]:
        yield _chunk(call, {"role": "assistant", "content": None if reply.tools else "", "refusal": None})
        spoken = "refusal" if reply.stopped == "refusal" else "content"
        for piece in chunks(reply.text, reply.chunk_chars):
            yield _chunk(call, {spoken: piece})
        for number, tool in _numbered(reply):
            first = _tool_call(call, number, tool)
            first["function"]["arguments"] = ""
            yield _chunk(call, {"tool_calls": [{"index": number - 1, **first}]})
            for piece in chunks(tool.text, reply.chunk_chars):
                yield _chunk(call, {"tool_calls": [{"index": number - 1, "function": {"arguments": piece}}]})
        yield _chunk(call, {}, finish=_STOPS[reply.stopped])
        if (call.body.get("stream_options") or {}).get("include_usage"):
            last = {**_object(call, "chat.completion.chunk"), "choices": [], "usage": _usage(call, reply)}
            yield f"data: {json.dumps(last)}\n\n"
        yield "data: [DONE]\n\n"

    def error(self, status: Status) -> dict[str, Any]:
        usual = ("server_error", None) if status.code >= 500 else _ERRORS[400]
        kind, code = _ERRORS.get(status.code, usual)
        if status.type is not None:
            kind = code = status.type
        return {"error": {"message": status.message, "type": kind, "param": None, "code": code}}

    def error_event(self, status: Status) -> str:
        return f"data: {json.dumps(self.error(status))}\n\n"

    def headers(self, call: Call) -> Mapping[str, str]:
        return {"x-request-id": f"req_{call.number:06}"}


def _numbered(reply: Reply) -> Iterator[tuple[int, ToolCall]]:
    return iter(enumerate(reply.tools, 1))


def _object(call: Call, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{call.number:06}",
        "object": kind,
        "created": _CREATED,
        "model": call.body.get("model", "gpt"),
    }


def _chunk(call: Call, delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return f"data: {json.dumps({**_object(call, 'chat.completion.chunk'), 'choices': [choice]})}\n\n"


def _tool_call(call: Call, number: int, tool: ToolCall) -> dict[str, Any]:
    return {
        "id": tool.id or f"call_{call.number:04}_{number}",
        "type": "function",
        "function": {"name": tool.name, "arguments": tool.text},
    }


def _usage(call: Call, reply: Reply) -> dict[str, int]:
    given, made = reply.usage(call.body)
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
