"""A model's message as the events of LangChain's agent protocol: its start, its blocks as they grow, its finish.

Side: activities. Chunks come one by one, from where the model speaks; what LangChain's own conversion does with a whole stream
is done here with each as it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from perdure._compat_speech import (
    accumulate,
    block_finish,
    blocks_of,
    content_delta,
    message_finish,
    message_start,
    message_to_events,
    skeleton,
)

__all__ = ["Speech"]


class Speech:
    """All that the models of one attempt say. Every event names its message, so that those of several can be told apart."""

    def __init__(self) -> None:
        self._spoken: dict[str, _Spoken] = {}

    def hear(self, message: BaseMessage, namespace: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """What a chunk, or a whole message, adds."""
        name = str(message.id)
        if not isinstance(message, AIMessageChunk):
            if isinstance(message, AIMessage):
                yield from _named(name, message_to_events(message))
            return
        spoken = self._spoken.get(name)
        if spoken is None:
            spoken = self._spoken[name] = _Spoken(namespace)
            yield from _named(name, iter([message_start(message, None)]))
        yield from _named(name, spoken.add(message))
        if message.chunk_position == "last":
            yield from self._finished(name)

    def finish(self) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        """Of messages whose last chunk did not say so, with their namespaces."""
        for name, spoken in list(self._spoken.items()):
            for event in self._finished(name):
                yield spoken.namespace, event

    def _finished(self, name: str) -> Iterator[dict[str, Any]]:
        spoken = self._spoken.pop(name)
        yield from _named(name, spoken.finish())


class _Spoken:
    def __init__(self, namespace: tuple[str, ...]) -> None:
        self.namespace = namespace
        self._blocks: dict[Any, tuple[int, Any]] = {}
        self._whole: AIMessageChunk | None = None

    def add(self, chunk: AIMessageChunk) -> Iterator[Any]:
        whole: Any = chunk if self._whole is None else self._whole + chunk
        self._whole = whole
        for key, block in blocks_of(chunk):
            if key in self._blocks:
                index, known = self._blocks[key]
                self._blocks[key] = (index, accumulate(known, block))
            else:
                index = len(self._blocks)
                self._blocks[key] = (index, block)
                yield {"event": "content-block-start", "index": index, "content": skeleton(block)}
            delta = content_delta(block)
            if delta is not None:
                yield {"event": "content-block-delta", "index": index, "delta": delta}

    def finish(self) -> Iterator[Any]:
        for index, block in self._blocks.values():
            yield block_finish(index, block)
        whole = self._whole
        usage: Any = whole.usage_metadata if whole else None
        yield message_finish(usage=usage, response_metadata=whole.response_metadata if whole else None)


def _named(name: str, events: Iterator[Any]) -> Iterator[dict[str, Any]]:
    # The protocol knows the id at the start alone; clients take the name that later events give, where they give one.
    for event in events:
        yield event if event["event"] == "message-start" else {**event, "message_id": name}
