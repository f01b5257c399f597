"""OpenAI's chat completions, as answers of assistants. Side: server. Shapes and streams; the routes are in `routes/openai.py`.

A request without `perdure.thread_id` has a thread of its own, which is deleted at its end, unless the agent asks something:
then the answer's `perdure` names the thread, and a request with that id answers it. Fields that choose or tune a model are
the graph's business, and ignored.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from pydantic import BaseModel, Field

from perdure.server.agents import Outcome, asks, message_text, outcome_of
from perdure.server.backend import Backend
from perdure.server.errors import failed
from perdure.server.runs import Started, run_result
from perdure.server.saying import Said
from perdure.server.streaming import events

__all__ = ["ChatRequest", "completion", "finished", "run_body", "streamed"]


class ThreadOptions(BaseModel):
    """`perdure` of a request: the thread to go on with, and the answer to what it asks, if it is not the last message."""

    thread_id: str | None = Field(default=None, min_length=1, max_length=200)
    resume: Any = None


class ChatRequest(BaseModel):
    """What is used of OpenAI's request. `model` is an assistant's name or id, or a graph's name."""

    model: str = Field(min_length=1)
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    perdure: ThreadOptions = Field(default_factory=ThreadOptions)


async def run_body(backend: Backend, asked: ChatRequest, assistant_id: str) -> dict[str, Any]:
    """The run that a request stands for.

    On a thread of its own, all messages are the input; on a thread that goes on, those after the last one of the assistant,
    for it has the others. Where the thread asks something, the last message's text is the answer.
    """
    body: dict[str, Any] = {"assistant_id": assistant_id, "on_completion": "keep", "if_not_exists": "create"}
    body["stream_mode"] = ["messages-tuple", "values"]
    thread_id = asked.perdure.thread_id
    if asked.perdure.resume is not None and thread_id is None:
        raise failed(400, "perdure.resume: needs perdure.thread_id")
    if asked.perdure.resume is not None:
        return {**body, "command": {"resume": asked.perdure.resume}}
    if thread_id is None:
        return {**body, "input": {"messages": asked.messages}}
    if await asks(backend, thread_id):
        return {**body, "command": {"resume": message_text(asked.messages[-1])}}
    last = max((i for i, m in enumerate(asked.messages) if m.get("role") == "assistant"), default=-1)
    return {**body, "input": {"messages": asked.messages[last + 1 :]}}


def completion(asked: ChatRequest, started: Started, outcome: Outcome) -> dict[str, Any]:
    message = {"role": "assistant", "content": outcome.text, "refusal": None}
    return {
        **_head(asked, started, "chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(outcome, len(asked.messages)),
        "perdure": _extension(started, outcome),
    }


def finished(backend: Backend, asked: ChatRequest, started: Started, outcome: Outcome) -> None:
    """Nothing is left of a thread that nobody named, but where it asks something."""
    if asked.perdure.thread_id is None and not outcome.asked:
        backend.go(backend.threads.delete(started.thread_id))


async def streamed(backend: Backend, asked: ChatRequest, started: Started) -> AsyncGenerator[bytes]:
    """Server-sent events: the text as it comes; at the end why it ended, and `[DONE]`."""
    head = _head(asked, started, "chat.completion.chunk")
    said = Said()
    yield _chunk(head, {"role": "assistant", "content": ""})
    told = events(backend, started)
    async with aclosing(told):
        async for written in told:
            if text := said.more(written):
                yield _chunk(head, {"content": text})
            elif written.startswith(b":"):
                yield b": still there\n\n"
    outcome = outcome_of(await run_result(backend, started))
    finished(backend, asked, started, outcome)
    if outcome.failed is not None:
        yield _data({"error": {"message": outcome.failed, "type": "run_failed", "code": None, "param": None}})
    else:
        if outcome.asked or not said.texts:
            yield _chunk(head, {"content": ("\n\n" if said.texts else "") + outcome.text})
        yield _chunk(head, {}, finish="stop", perdure=_extension(started, outcome))
        if (asked.stream_options or {}).get("include_usage"):
            usage = _usage(outcome, len(asked.messages))
            yield _data({**head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _head(asked: ChatRequest, started: Started, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{started.run_id}",
        "object": kind,
        "created": int(time.time()),
        "model": asked.model,
    }


def _chunk(head: dict[str, Any], delta: dict[str, Any], *, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return _data({**head, "choices": [choice], **more})


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _extension(started: Started, outcome: Outcome) -> dict[str, Any]:
    return {"thread_id": started.thread_id, "run_id": started.run_id, "interrupts": outcome.asked}


def _usage(outcome: Outcome, before: int) -> dict[str, int]:
    """Of the messages that the run added."""
    values = cast("dict[str, Any]", outcome.values if isinstance(outcome.values, dict) else {})
    messages: Any = values.get("messages")
    added = cast("list[Any]", messages)[before:] if isinstance(messages, list) else []
    used = [m.get("usage_metadata") or {} for m in added if isinstance(m, dict)]
    sent = sum(int(item.get("input_tokens") or 0) for item in used)
    made = sum(int(item.get("output_tokens") or 0) for item in used)
    return {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}
