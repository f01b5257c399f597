"""Is an answer of a model one? Either side: pure, and the same natively as under Perdure.

| the answer                                                     | the problem         |
|----------------------------------------------------------------|---------------------|
| refused by the model, or by its provider's filter              | `OutputRefused`     |
| cut off at its token limit                                     | `OutputTruncated`   |
| a stream that ended without saying why                         | `OutputIncomplete`  |
| tool calls alone, none of them with arguments that are JSON    | `OutputCallInvalid` |
| neither text nor tool calls                                    | `OutputEmpty`       |

Not seen: what a client has dropped. Of a streamed refusal by OpenAI's Chat Completions LangChain keeps nothing: it looks empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage

from perdure.errors import (
    ModelOutputError,
    OutputCallInvalid,
    OutputEmpty,
    OutputIncomplete,
    OutputRefused,
    OutputTruncated,
)

__all__ = ["output_problem", "output_text"]

_TRUNCATED = frozenset({"length", "max_tokens", "model_context_window_exceeded", "max_output_tokens"})
_REFUSED = frozenset({"refusal", "content_filter", "safety", "recitation", "prohibited_content", "blocklist"})
# These say why they stopped in every answer that is whole.
_TELLING = frozenset({"anthropic", "openai"})
_MOST_CHARS = 2_000


def output_problem(message: AIMessage, info: Mapping[str, Any] | None = None) -> ModelOutputError | None:
    """Why an answer is none, or not whole; `None` for a good one. `info` is what the provider said besides."""
    told = {**(info or {}), **message.response_metadata}
    reason = str(told.get("stop_reason") or told.get("finish_reason") or "").lower()
    said = output_text(message)
    refusal = message.additional_kwargs.get("refusal") or _refusal_block(message)
    if reason in _REFUSED or refusal:
        return OutputRefused(f"the model refused to answer: {refusal or said or reason}"[:_MOST_CHARS], said)
    if reason in _TRUNCATED:
        return OutputTruncated(
            f"the answer was cut off ({reason}) after {len(message.text)} characters: raise the model's token limit, "
            "or ask for less",
            said,
        )
    if not reason and told.get("model_provider") in _TELLING and "id" not in told:
        return OutputIncomplete("the stream ended before the answer did", said)
    if message.text.strip() or message.tool_calls:
        return None
    if message.invalid_tool_calls:
        names = ", ".join(str(call.get("name")) for call in message.invalid_tool_calls)
        return OutputCallInvalid(f"the model called {names} with arguments that are not JSON", said)
    return OutputEmpty("the model answered with nothing", said)


def output_text(message: AIMessage) -> str:
    """What a model said, tool calls included, at most 2,000 characters of it."""
    calls = [f"{call['name']}({call['args']})" for call in (*message.tool_calls, *message.invalid_tool_calls)]
    return "\n".join(part for part in (message.text, *calls) if part)[:_MOST_CHARS]


def _refusal_block(message: AIMessage) -> str:
    blocks = message.content if isinstance(message.content, list) else []
    found = (block.get("refusal") for block in blocks if isinstance(block, dict))
    return next((str(text) for text in found if text), "")
