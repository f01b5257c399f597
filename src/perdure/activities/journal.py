"""The answers that models gave within one node call: another attempt of it is given them and pays for the rest alone.

Side: activities. Answers are found by the call (model, parameters, messages) and handed out in the order in which they came:
who asks the same twice has two answers. A call that is not the same any more (a time in the prompt, say) is made again.

Bounded: what does not fit any more is not kept, so that of a long node the beginning is. Not kept: an answer without a
payload form, and every answer once the node has failed over something other than the outside world: it may have failed
over what the model said.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from langchain_core.messages import BaseMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatResult
from temporalio import activity
from temporalio.api.common.v1 import Payload

from perdure._compat_models import ModelCall
from perdure.errors import PayloadError

__all__ = ["Journal"]

_MOST_BYTES = 500_000


class Journal:
    """For one attempt, any thread. `entries` are to be remembered for the next: `[key, answer]` each."""

    def __init__(self, entries: Sequence[Sequence[str]] = ()) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, list[str]] = {}
        self._taken: Counter[str] = Counter()
        self._room = _MOST_BYTES
        self._converter = activity.payload_converter()
        for key, answer in entries:
            self._keep(key, answer)

    @property
    def entries(self) -> list[list[str]]:
        with self._lock:
            return [[key, answer] for key, answers in self._answers.items() for answer in answers]

    def first(self, most_bytes: int) -> list[list[str]]:
        """The oldest entries that fit."""
        entries = self.entries
        sizes = accumulate(len(key) + len(answer) for key, answer in entries)
        return [entry for entry, size in zip(entries, sizes, strict=True) if size <= most_bytes]

    def clear(self) -> None:
        with self._lock:
            self._answers.clear()
            self._room = _MOST_BYTES

    def key(self, call: ModelCall) -> str:
        """Of the call; "" for one that cannot be told apart from others."""
        try:
            identity = call.identity
        except Exception:  # noqa: BLE001 - a user's model may fail to describe itself; it can be called all the same
            return ""
        return hashlib.sha256(identity.encode()).hexdigest()[:24]

    def knows(self, key: str) -> bool:
        with self._lock:
            return self._taken[key] < len(self._answers.get(key, ()))

    def take(self, key: str) -> ChatResult | None:
        """The next answer to that call, if an attempt had one."""
        with self._lock:
            answers = self._answers.get(key, [])
            if self._taken[key] >= len(answers):
                return None
            answer = answers[self._taken[key]]
            self._taken[key] += 1
        try:
            return _result(self._converter.from_payload(_payload(answer)))
        except PayloadError:
            return None  # of a type that this worker's code has not (any more)

    def keep(self, key: str, result: ChatResult) -> None:
        """Remember an answer that was just given."""
        try:
            data = self._converter.to_payload(_told(result)).data
        except PayloadError:
            return
        answer = base64.b64encode(zlib.compress(data, 1)).decode()
        with self._lock:
            # It has been handed out already, in this attempt.
            self._taken[key] += self._keep(key, answer)

    def _keep(self, key: str, answer: str) -> bool:
        if not key or len(answer) + len(key) > self._room:
            return False
        self._room -= len(answer) + len(key)
        self._answers.setdefault(key, []).append(answer)
        return True


def _payload(answer: str) -> Payload:
    data = zlib.decompress(base64.b64decode(answer))
    return Payload(metadata={"encoding": b"json/plain"}, data=data)


def _told(result: ChatResult) -> dict[str, Any]:
    answers = [[_whole(made.message), made.generation_info] for made in result.generations]
    return {"answers": answers, "output": result.llm_output}


def _whole(message: Any) -> Any:
    return message_chunk_to_message(message) if isinstance(message, BaseMessageChunk) else message


def _result(told: dict[str, Any]) -> ChatResult:
    made = [ChatGeneration(message=message, generation_info=info) for message, info in told["answers"]]
    return ChatResult(generations=made, llm_output=told["output"])
