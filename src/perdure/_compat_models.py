"""The part of `_compat.py` that is about chat models: LangChain's private symbols, and those of the providers' clients.

What is replaced looks at a context variable, as there: where it is unset, the original is called.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

__all__ = [
    "MODELS_REPLACED",
    "ModelCall",
    "ModelCaller",
    "as_chunk",
    "model_caller",
    "reach_clients",
    "retry_in_temporal",
]


@dataclass(frozen=True)
class ModelCall:
    """One call of a chat model, where LangChain itself would ask its cache."""

    model: BaseChatModel
    messages: list[BaseMessage]
    stop: list[str] | None
    options: dict[str, Any]

    @property
    def identity(self) -> str:
        """The model with its parameters and the messages, as LangChain's cache tells calls apart; the same text in another
        process."""
        model = self.model._get_llm_string(stop=self.stop, **self.options)  # pyright: ignore[reportPrivateUsage]
        messages = [
            message if message.id is None else message.model_copy(update={"id": None})
            for message in self.messages
        ]
        return re.sub(r" at 0x[0-9a-f]+", "", f"{model}\n{dumps(messages)}")

    @property
    def about(self) -> Mapping[str, Any]:
        """What LangChain tells tracers of the model: `ls_provider`, `ls_model_name`, `ls_temperature`, ..."""
        return self.model._get_ls_params(stop=self.stop, **self.options)  # pyright: ignore[reportPrivateUsage]

    def retell(self, result: ChatResult, manager: Any) -> None:
        """Let whoever listens to the call's tokens have an answer that is known already."""
        model: Any = self.model
        model._replay_v2_events_for_cache_hit(result.generations, run_manager=manager, **self.options)
        for chunk in self._pieces(result, manager, async_api=False):
            manager.on_llm_new_token(chunk.text, chunk=chunk)

    async def aretell(self, result: ChatResult, manager: Any) -> None:
        model: Any = self.model
        await model._areplay_v2_events_for_cache_hit(result.generations, run_manager=manager, **self.options)
        for chunk in self._pieces(result, manager, async_api=True):
            await manager.on_llm_new_token(chunk.text, chunk=chunk)

    def _pieces(self, result: ChatResult, manager: Any, *, async_api: bool) -> list[ChatGenerationChunk]:
        model: Any = self.model
        how: dict[str, Any] = {**self.options, "async_api": async_api, "run_manager": manager}
        if manager is None or model._should_use_protocol_streaming(**how) or not model._should_stream(**how):
            return []
        return [ChatGenerationChunk(message=as_chunk(made.message)) for made in result.generations]


def as_chunk(message: BaseMessage) -> AIMessageChunk:
    """A whole message of a model, or a piece of one, as a piece."""
    if isinstance(message, AIMessageChunk):
        return message
    fields = {name: getattr(message, name) for name in AIMessage.model_fields if name != "type"}
    return AIMessageChunk(**fields, chunk_position="last")


class ModelCaller(Protocol):
    """Stands between a chat model and whoever calls it. `make` makes the call, `known` asks for an answer that is known;
    `manager` is LangChain's callback manager of the call."""

    def call(self, call: ModelCall, make: Callable[[], ChatResult], manager: Any) -> ChatResult: ...
    async def acall(
        self, call: ModelCall, make: Callable[[], Awaitable[ChatResult]], manager: Any
    ) -> ChatResult: ...
    def stream(self, call: ModelCall, make: Callable[[], Any], known: Callable[[], Any]) -> Iterator[Any]: ...
    def astream(
        self, call: ModelCall, make: Callable[[], Any], known: Callable[[], Any]
    ) -> AsyncIterator[Any]: ...


model_caller: ContextVar[ModelCaller | None] = ContextVar("perdure_model_caller", default=None)
"""Set while an attempt of a node runs; what the node starts inherits it."""

# LangChain's own cache does not see streams, marks what it answers as free of cost, and a model may have another.
_generate = BaseChatModel._generate_with_cache  # pyright: ignore[reportPrivateUsage]
_agenerate = BaseChatModel._agenerate_with_cache  # pyright: ignore[reportPrivateUsage]
_stream = BaseChatModel.stream
_astream = BaseChatModel.astream
_FORMATS = ("ls_structured_output_format", "structured_output_format")


def _called(
    self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
) -> ChatResult:
    make = partial(_generate, self, messages, stop, run_manager, **options)
    caller = model_caller.get()
    return (
        make() if caller is None else caller.call(ModelCall(self, messages, stop, options), make, run_manager)
    )


async def _acalled(
    self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
) -> ChatResult:
    make = partial(_agenerate, self, messages, stop, run_manager, **options)
    caller = model_caller.get()
    if caller is None:
        return await make()
    return await caller.acall(ModelCall(self, messages, stop, options), make, run_manager)


def _streamed(
    self: Any, input: Any, config: Any = None, *, stop: Any = None, **options: Any
) -> Iterator[Any]:
    make = partial(_stream, self, input, config, stop=stop, **options)
    caller = model_caller.get()
    # What does not stream calls the model as `invoke` does.
    if caller is None or not self._should_stream(async_api=False, **{**options, "stream": True}):
        return make()
    known = partial(self.invoke, input, config, stop=stop, **options)
    return caller.stream(_stream_call(self, input, stop, options), make, known)


def _astreamed(
    self: Any, input: Any, config: Any = None, *, stop: Any = None, **options: Any
) -> AsyncIterator[Any]:
    make = partial(_astream, self, input, config, stop=stop, **options)
    caller = model_caller.get()
    if caller is None or not self._should_stream(async_api=True, **{**options, "stream": True}):
        return make()
    known = partial(self.ainvoke, input, config, stop=stop, **options)
    return caller.astream(_stream_call(self, input, stop, options), make, known)


def _stream_call(model: Any, input: Any, stop: Any, options: dict[str, Any]) -> ModelCall:
    messages = model._convert_input(input).to_messages()
    return ModelCall(model, messages, stop, {k: v for k, v in options.items() if k not in _FORMATS})


MODELS_REPLACED: Mapping[tuple[Any, str], Any] = {
    (BaseChatModel, "_generate_with_cache"): _called,
    (BaseChatModel, "_agenerate_with_cache"): _acalled,
    (BaseChatModel, "stream"): _streamed,
    (BaseChatModel, "astream"): _astreamed,
}
"""Where LangChain calls a chat model, and what stands there instead."""


_SDK_OPTIONS = {"anthropic._models": "FinalRequestOptions", "openai._models": "FinalRequestOptions"}
"""Where the provider SDKs decide how often they send a request again."""

_in_temporal: ContextVar[bool] = ContextVar("perdure_retry_in_temporal", default=False)


def retry_in_temporal() -> None:
    """From here on, in this context, provider clients send each request once; whatever they were made with is left alone.

    Reaches the SDKs that are imported by now; `reach_clients` those that were imported since.
    """
    _in_temporal.set(True)
    reach_clients()


def reach_clients() -> None:
    """Have the provider SDKs that are imported ask whose the retries are. Any number of calls have the effect of one."""
    for module, name in _SDK_OPTIONS.items():
        options: Any = getattr(sys.modules.get(module), name, None)
        original = getattr(options, "get_max_retries", None)
        if original is not None and not hasattr(original, "perdure_original"):
            options.get_max_retries = _once(original)


def _once(original: Callable[..., int]) -> Callable[..., int]:
    def get_max_retries(self: Any, max_retries: int) -> int:
        return 0 if _in_temporal.get() else original(self, max_retries)

    get_max_retries.perdure_original = original  # pyright: ignore[reportFunctionMemberAccess]
    return get_max_retries
