"""The model calls of one attempt: answered from the journal where an earlier attempt had the answer, counted, remembered.

Side: activities. Guaranteed: an answer is with the server before the node gets it, so another attempt has it whatever
happens next, as long as the server takes it within `_SAVE_TIMEOUT`, the journal has room and the model is not called on the
event loop itself (an async node that uses `invoke`): then it is there within some 1 s, with the next heartbeat.

Not seen: calls that are not made through a LangChain chat model's `invoke`, `stream`, `batch` or their async twins. Not kept:
the answer of a stream that was not read to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextvars import ContextVar
from functools import reduce
from operator import add
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatResult

from perdure._compat_models import ModelCall, as_chunk
from perdure.activities.journal import Journal
from perdure.activities.meter import Meter, model_name
from perdure.activities.rate_limits import RateLimits
from perdure.telemetry.attempts import ModelSpan, model_span

__all__ = ["ModelCalls", "unjournaled"]

unjournaled: ContextVar[bool] = ContextVar("perdure_unjournaled", default=False)
"""Set around calls whose answer is in the journal as that of another: a chain's, of which they are part."""


class ModelCalls:
    """Implements `perdure._compat_models.ModelCaller`. `save` puts the journal where another attempt finds it."""

    def __init__(
        self, journal: Journal, meter: Meter, rates: RateLimits, *, save: Callable[[], Awaitable[None]]
    ) -> None:
        self._journal = journal
        self._meter = meter
        self._rates = rates
        self._save = save
        self._loop = asyncio.get_running_loop()

    def call(self, call: ModelCall, make: Callable[[], ChatResult], manager: Any) -> ChatResult:
        key = self._key(call)
        if (known := self._journal.take(key)) is not None:
            call.retell(known, manager)
            return known
        self._meanwhile(self._turn(call))
        self._begin(call)
        with (span := _span(call)).around():
            result = make()
            span.answered(result)
        self._meanwhile(self._ended(call, key, self._answered(call, key, result)))
        return result

    async def acall(
        self, call: ModelCall, make: Callable[[], Awaitable[ChatResult]], manager: Any
    ) -> ChatResult:
        key = self._key(call)
        if (known := self._journal.take(key)) is not None:
            await call.aretell(known, manager)
            return known
        await self._turn(call)
        self._begin(call)
        with (span := _span(call)).around():
            result = await make()
            span.answered(result)
        await self._ended(call, key, self._answered(call, key, result))
        return result

    def stream(
        self, call: ModelCall, make: Callable[[], Iterator[AIMessageChunk]], known: Callable[[], Any]
    ) -> Iterator[AIMessageChunk]:
        key = self._key(call)
        if self._journal.knows(key):
            yield as_chunk(known())
            return
        self._meanwhile(self._turn(call))
        self._begin(call)
        chunks: list[AIMessageChunk] = []
        span = _span(call)
        for chunk in span.stream(make(), lambda: _whole(chunks)):
            chunks.append(chunk)
            yield chunk
        self._meanwhile(self._ended(call, key, self._answered(call, key, _whole(chunks))))

    async def astream(
        self,
        call: ModelCall,
        make: Callable[[], AsyncIterator[AIMessageChunk]],
        known: Callable[[], Awaitable[Any]],
    ) -> AsyncIterator[AIMessageChunk]:
        key = self._key(call)
        if self._journal.knows(key):
            yield as_chunk(await known())
            return
        await self._turn(call)
        self._begin(call)
        chunks: list[AIMessageChunk] = []
        span = _span(call)
        async for chunk in span.astream(make(), lambda: _whole(chunks)):
            chunks.append(chunk)
            yield chunk
        await self._ended(call, key, self._answered(call, key, _whole(chunks)))

    def _key(self, call: ModelCall) -> str:
        return "" if unjournaled.get() else self._journal.key(call)

    async def _turn(self, call: ModelCall) -> None:
        """Until the rate limits let it be made."""
        name = model_name(call.model)
        if name in self._rates and not _passes_on(call):
            await self._rates.wait(name)

    def _begin(self, call: ModelCall) -> None:
        if not _passes_on(call):
            self._meter.begin(call)

    def _answered(self, call: ModelCall, key: str, result: ChatResult) -> int:
        """Keeps the answer; the tokens that it took."""
        self._journal.keep(key, result)
        return 0 if _passes_on(call) else self._meter.end(call, result)

    async def _ended(self, call: ModelCall, key: str, tokens: int) -> None:
        if (name := model_name(call.model)) in self._rates:
            await self._rates.spent(name, tokens)
        if key:
            await self._save()

    def _meanwhile(self, work: Coroutine[Any, Any, None]) -> None:
        """Done when this comes back, in a thread. On the event loop itself nothing can be waited for."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        working = asyncio.run_coroutine_threadsafe(work, self._loop)
        if here is not self._loop:
            working.result()


def _span(call: ModelCall) -> ModelSpan:
    # Of a model that asks others, those have the spans.
    return ModelSpan.none() if _passes_on(call) else model_span(call, model_name(call.model))


def _passes_on(call: ModelCall) -> bool:
    return getattr(call.model, "passes_on", False)


def _whole(chunks: list[AIMessageChunk]) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=reduce(add, chunks))] if chunks else [])
