"""The model: any LangChain chat model by name, or the offline one.

Owns no retries: each call is one request to the provider, because Temporal (or LangGraph) repeats the step.
The provider's own errors come through unchanged, so that a retry policy can tell a 429 from a 401.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage

from support.contract import LLMRequest, LLMResponse
from support.errors import Refused, Unavailable
from support.offline import OfflineModel
from support.settings import Settings

__all__ = ["chat_model", "complete", "describe"]

_TIMEOUT_SECONDS = 45

# Not every client notices a missing key before its first request. Providers not listed check for themselves.
_KEY_VARIABLES: Mapping[str, str] = MappingProxyType(
    {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
)
_CUT_OFF = frozenset({"length", "max_tokens", "MAX_TOKENS"})


def describe(settings: Settings) -> str:
    """One line for whoever starts the agent: which model answers."""
    if settings.model is None:
        return "Model: offline (keywords and quoted articles, not a language model); set PERDURE_MODEL for a real one"
    return f"Model: {settings.model}"


def chat_model(name: str | None) -> BaseChatModel:
    """The model called `name`, as `provider:model`; None is the offline model.

    Raises:
        Refused: the name, the provider's package or its API key is missing.
    """
    if name is None:
        return OfflineModel()
    provider, colon, model = name.partition(":")
    if not (provider and colon and model):
        raise Refused(f"PERDURE_MODEL is {name!r}; write provider:model, such as anthropic:claude-sonnet-4-6")
    variable = _KEY_VARIABLES.get(provider)
    if variable is not None and not os.environ.get(variable):
        raise Refused(f"PERDURE_MODEL is {name!r}, but {variable} is not set; export your API key in it")
    try:
        return init_chat_model(name, max_retries=0, timeout=_TIMEOUT_SECONDS)
    except (ImportError, ValueError) as error:
        # The first line names what is missing: a package with its pip install, or a provider with that name.
        raise Refused(f"PERDURE_MODEL is {name!r}: {str(error).splitlines()[0]}") from error


async def complete(request: LLMRequest, settings: Settings) -> LLMResponse:
    """Ask the model once.

    Raises:
        Refused: see `chat_model`.
        Unavailable: the answer is empty or was cut off. The provider's own errors come through as they are.
    """
    name = request.model or settings.model
    answer = await chat_model(name).ainvoke([SystemMessage(request.system), HumanMessage(request.user)])
    text = answer.text.strip()
    meta = answer.response_metadata
    if not text:
        raise Unavailable(f"model {name or 'offline'!r} gave an empty answer")
    if {meta.get("finish_reason"), meta.get("stop_reason")} & _CUT_OFF:
        raise Unavailable(f"model {name or 'offline'!r} was cut off after {len(text)} characters")
    usage = answer.usage_metadata
    if usage is None:
        return LLMResponse(text, input_tokens=0, output_tokens=0)
    return LLMResponse(text, usage["input_tokens"], usage["output_tokens"])
