"""What a span says of a model call, in the words of OpenTelemetry's GenAI conventions. Side: activities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from opentelemetry.util.types import AttributeValue

from perdure._compat_models import ModelCall
from perdure.telemetry.messages import said

__all__ = ["answer_attributes", "call_attributes"]

_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "amazon_bedrock": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "ibm": "ibm.watsonx.ai",
}
"""LangChain's names of providers, where OpenTelemetry has others."""


def call_attributes(call: ModelCall, name: str, *, content: bool) -> dict[str, AttributeValue]:
    """Of the request."""
    about = call.about
    provider = str(about.get("ls_provider") or type(call.model).__name__)
    told: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": name,
        "gen_ai.request.temperature": about.get("ls_temperature"),
        "gen_ai.request.max_tokens": about.get("ls_max_tokens"),
        "gen_ai.request.stop_sequences": about.get("ls_stop"),
    }
    if content:
        told["gen_ai.input.messages"] = said(call.messages)
    return {key: value for key, value in told.items() if value is not None}


def answer_attributes(result: ChatResult, *, content: bool) -> dict[str, AttributeValue]:
    """Of the answer: who gave it, why it ended, and what it took."""
    messages = [made.message for made in result.generations]
    about: dict[str, Any] = {}
    for message in messages:
        about |= message.response_metadata
    used = _used(messages)
    told: dict[str, Any] = {
        "gen_ai.response.model": about.get("model_name") or about.get("model"),
        "gen_ai.response.id": about.get("id"),
        "gen_ai.response.finish_reasons": [reason for message in messages if (reason := _ended(message))],
        "gen_ai.usage.input_tokens": used.get("input_tokens"),
        "gen_ai.usage.output_tokens": used.get("output_tokens"),
        "gen_ai.usage.cache_read.input_tokens": used.get("cache_read"),
        "gen_ai.usage.cache_creation.input_tokens": used.get("cache_creation"),
        "gen_ai.usage.reasoning.output_tokens": used.get("reasoning"),
    }
    if content:
        told["gen_ai.output.messages"] = said(messages)
    return {key: value for key, value in told.items() if value not in (None, [])}


def _ended(message: BaseMessage) -> str:
    about = message.response_metadata
    return str(about.get("finish_reason") or about.get("stop_reason") or "")


def _used(messages: list[BaseMessage]) -> dict[str, int]:
    used: dict[str, int] = {}
    for message in messages:
        told: Mapping[str, Any] = getattr(message, "usage_metadata", None) or {}
        details = {**(told.get("input_token_details") or {}), **(told.get("output_token_details") or {})}
        for name in ("input_tokens", "output_tokens", "cache_read", "cache_creation", "reasoning"):
            if (count := told.get(name, details.get(name))) is not None:
                used[name] = used.get(name, 0) + int(count)
    return used
