"""What became of a node's model calls: answers that are empty, cut off or refused do not pass for good ones unseen.

Side: activities. Each model call that LangChain makes within an attempt is looked at. What is wrong with its answer is noted,
for the history and `perdure show`; for a node that asks for `model_output="complete"` the call raises it instead.

Not seen: calls that a node makes without LangChain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from perdure._compat import PregelNode, reach_clients
from perdure.contract.policy import METADATA_KEY, DurableOptions, ModelOutput
from perdure.errors import (
    ModelOutputError,
    OutputEmpty,
    OutputIncomplete,
    OutputRefused,
    OutputTruncated,
)

__all__ = ["ModelOutputs", "output_problem"]

_TRUNCATED = frozenset({"length", "max_tokens", "model_context_window_exceeded", "max_output_tokens"})
_REFUSED = frozenset({"refusal", "content_filter", "safety", "recitation", "prohibited_content", "blocklist"})
# These say why they stopped in every answer that is whole.
_TELLING = frozenset({"anthropic", "openai"})
_MOST_CHARS = 2_000


class ModelOutputs(BaseCallbackHandler):
    """A callback handler for one attempt. `notes` names what was wrong, call by call."""

    run_inline = True

    def __init__(self, asked: ModelOutput) -> None:
        self.notes: list[str] = []
        self.raise_error = asked == "complete"

    @classmethod
    def of(cls, node: PregelNode, default: ModelOutput) -> ModelOutputs:
        """As the node's `durable(...)` asks for it, or else the worker."""
        options = (node.metadata or {}).get(METADATA_KEY)
        declared = options.model_output if isinstance(options, DurableOptions) else None
        return cls(declared or default)

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        reach_clients()  # the node itself may have imported its provider's

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        for generation in (each for prompt in response.generations for each in prompt):
            if not isinstance(generation, ChatGeneration) or not isinstance(generation.message, AIMessage):
                continue
            problem = output_problem(
                generation.message, generation.generation_info or response.llm_output or {}
            )
            if problem is None:
                continue
            self.notes.append(type(problem).__name__)
            if self.raise_error:
                raise problem


def output_problem(message: AIMessage, info: Mapping[str, Any] | None = None) -> ModelOutputError | None:
    """Why an answer is none, or not whole; `None` for a good one. `info` is what the provider said besides."""
    told = {**(info or {}), **message.response_metadata}
    reason = str(told.get("stop_reason") or told.get("finish_reason") or "").lower()
    said = message.text[:_MOST_CHARS]
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
    if not message.text.strip() and not message.tool_calls and not message.invalid_tool_calls:
        return OutputEmpty("the model answered with nothing", said)
    return None


def _refusal_block(message: AIMessage) -> str:
    blocks = message.content if isinstance(message.content, list) else []
    found = (block.get("refusal") for block in blocks if isinstance(block, dict))
    return next((str(text) for text in found if text), "")
