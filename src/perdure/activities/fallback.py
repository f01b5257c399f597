"""`fallback([...])`: a chat model that asks the next model when one cannot answer now.

Side: activities. Which failures go to the next: those that a retry may help (`perdure.activities.failures`), and a used-up quota.
Any other (a refused request, a wrong key) is raised at once. When no model answers, all their failures are raised together,
and the node is tried again if that may help one of them.

What was asked and who answered is in the node's result (`usage`). Within a worker of Perdure the models have circuit
breakers; elsewhere it is a plain chain.

Not guaranteed: a stream that breaks after its first piece is not begun again with another model; the node fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding

from perdure._compat_models import as_chunk
from perdure.activities.breakers import breakers
from perdure.activities.failures import classify, describe
from perdure.activities.meter import model_name
from perdure.activities.model_calls import unjournaled

__all__ = ["FallbackChatModel", "fallback"]

_NEXT = frozenset({
    "rate_limited", "overloaded", "timeout", "conflict", "server_error", "connection", "quota",
})  # fmt: skip


def fallback(
    models: Sequence[Runnable[Any, Any]],
    *,
    failures: int = 5,
    open_for: timedelta = timedelta(seconds=30),
) -> FallbackChatModel:
    """A chat model that asks `models` in order until one answers; give it to a node or to `create_agent`.

        model = fallback([ChatAnthropic(..., max_retries=0), ChatOpenAI(..., max_retries=0)])

    Args:
        models: chat models, at least one, also with tools bound. Let them not retry by themselves.
        failures: after so many in a row a model is left alone,
        open_for: for so long; then one call is made to see.

    Raises:
        ValueError: for no models, and numbers that could never work. TypeError: for what is not a chat model.
    """
    if not models:
        raise ValueError("fallback([...]) needs at least one model")
    if failures < 1 or open_for <= timedelta(0):
        raise ValueError(f"fallback(failures={failures!r}, open_for={open_for!r}): both must be above zero")
    for model in models:
        if not isinstance(_bare(model), BaseChatModel):
            raise TypeError(f"fallback([...]) takes chat models, not {type(model).__name__}")
    return FallbackChatModel(models=list(models), failures=failures, open_for=open_for)


class FallbackChatModel(BaseChatModel):
    """Made by `fallback`."""

    passes_on: ClassVar[bool] = True
    """Its calls are those of its models: not counted themselves."""

    models: list[Any]
    failures: int
    open_for: timedelta

    @property
    def _llm_type(self) -> str:
        return "fallback"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"models": [model_name(_bare(model)) for model in self.models]}

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]:
        """Each model with the tools in its own provider's form."""
        bound = [model.bind_tools(tools, **kwargs) for model in self.models]
        return self.model_copy(update={"models": bound})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        chain = _Chain(self)
        for model in chain.models():
            with chain.asking(model):
                return _result(model.invoke(messages, _SILENT, stop=stop, **kwargs))
        raise chain.failure()

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        chain = _Chain(self)
        for model in chain.models():
            with chain.asking(model):
                return _result(await model.ainvoke(messages, _SILENT, stop=stop, **kwargs))
        raise chain.failure()

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        chain = _Chain(self)
        for model in chain.models():
            chunks: Any = model.stream(messages, _SILENT, stop=stop, **kwargs)
            first: Any = None
            with chain.asking(model):
                first = next(chunks, None)
            if first is None:
                continue
            yield ChatGenerationChunk(message=as_chunk(first))
            yield from (ChatGenerationChunk(message=as_chunk(chunk)) for chunk in chunks)
            return
        raise chain.failure()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chain = _Chain(self)
        for model in chain.models():
            chunks: Any = model.astream(messages, _SILENT, stop=stop, **kwargs)
            first: Any = None
            with chain.asking(model):
                first = await anext(chunks, None)
            if first is None:
                continue
            yield ChatGenerationChunk(message=as_chunk(first))
            async for chunk in chunks:
                yield ChatGenerationChunk(message=as_chunk(chunk))
            return
        raise chain.failure()


# The chain's own callbacks tell of the call; those of its models would tell of it a second time.
_SILENT: Any = {"callbacks": []}


class _Chain:
    """One call through the chain."""

    def __init__(self, model: FallbackChatModel) -> None:
        self._model = model
        self._breakers = breakers.get()
        self._errors: list[Exception] = []

    def models(self) -> Iterator[Any]:
        """Those to ask, in order. All of them when every one is to be left alone: to try is better than not to."""
        alone = True
        for model in self._model.models:
            if self._breakers is None or self._breakers.admits(_name(model), self._model.open_for):
                alone = False
                yield model
        if alone:
            yield from self._model.models

    @contextmanager
    def asking(self, model: Any) -> Generator[None]:
        """Around the call of one model: its failure is kept when it is one for which the next is asked."""
        token = unjournaled.set(True)
        try:
            yield
        except Exception as error:
            if classify(error).kind not in _NEXT:
                self._leave(model)
                if not self._errors:
                    raise
                self._errors.append(error)
                raise self.failure() from error
            self._errors.append(error)
            self._tell(model, failed=True)
        except BaseException:
            self._leave(model)
            raise
        else:
            self._tell(model, failed=False)
        finally:
            unjournaled.reset(token)

    def failure(self) -> Exception:
        """What to raise when no model has answered."""
        if len(self._errors) == 1:
            return self._errors[0]
        told = "; ".join(describe(error) for error in self._errors)
        return ExceptionGroup(f"no model of the chain answers: {told}", self._errors)

    def _tell(self, model: Any, *, failed: bool) -> None:
        if self._breakers is not None:
            self._breakers.tell(_name(model), failed=failed, most=self._model.failures)

    def _leave(self, model: Any) -> None:
        if self._breakers is not None:
            self._breakers.leave(_name(model))


def _bare(model: Any) -> Any:
    return _bare(model.bound) if isinstance(model, RunnableBinding) else model


def _name(model: Any) -> str:
    return model_name(_bare(model))


def _result(message: Any) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])
