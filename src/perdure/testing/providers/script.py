"""What a fake provider is told to do, as data: replies, and the ways in which a provider fails.

Side: testing, public. A script is played in the order in which calls arrive, whoever makes them: a call that is made again
takes the next item. Nothing here knows a protocol.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

__all__ = [
    "Answer",
    "Broken",
    "Call",
    "Item",
    "Reply",
    "Reset",
    "Script",
    "Stall",
    "Status",
    "Stop",
    "ToolCall",
]

_CHARS_PER_TOKEN = 4

Stop = Literal["end", "tools", "max_tokens", "refusal", "filtered"]


@dataclass(frozen=True)
class ToolCall:
    """A tool call of the model.

    Args:
        args: a mapping; or a text, which is sent as it is and need not be JSON.
        id: made from the call's number when left out.
    """

    name: str
    args: Mapping[str, Any] | str = field(default_factory=dict[str, Any])
    id: str | None = None

    @property
    def text(self) -> str:
        return self.args if isinstance(self.args, str) else json.dumps(self.args)


@dataclass(frozen=True)
class Reply:
    """What the model says. Without text and tools: an empty answer.

    Args:
        text: for `stop="refusal"`, what the model says instead of an answer.
        tools: tool calls, after the text.
        stop: why the model stopped; "tools" or "end" when left out. "filtered" is the provider's content filter.
        input_tokens, output_tokens: the usage; a token for every four characters when left out.
        chunk_chars: how much of a text or of arguments goes into one event of a stream.
        pause: seconds before each event of a stream, or before an answer in one piece.
    """

    text: str = ""
    tools: Sequence[ToolCall] = ()
    stop: Stop | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    chunk_chars: int = 16
    pause: float = 0.0

    @property
    def stopped(self) -> Stop:
        return self.stop or ("tools" if self.tools else "end")

    def usage(self, body: Mapping[str, Any]) -> tuple[int, int]:
        """Input and output tokens."""
        told = len(json.dumps(body.get("messages") or body.get("input") or ""))
        said = len(self.text) + sum(len(call.name) + len(call.text) for call in self.tools)
        given = told // _CHARS_PER_TOKEN + 1 if self.input_tokens is None else self.input_tokens
        made = said // _CHARS_PER_TOKEN + 1 if self.output_tokens is None else self.output_tokens
        return given, made


@dataclass(frozen=True)
class Status:
    """An HTTP status instead of an answer, with an error body as the provider writes it.

    Args:
        retry_after: the header `Retry-After`, as it is sent.
        type: the provider's own name for the error; the usual one for the status when left out.
        headers: more headers.
    """

    code: int
    retry_after: str | None = None
    message: str = "scripted failure"
    type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Reset:
    """The connection is reset: before the headers, or after that many events of `reply`'s stream.

    In an answer that is not streamed, with `after`, half of the body is sent.
    """

    after: int | None = None
    reply: Reply = field(default_factory=lambda: Reply("This text never comes to its end."))


@dataclass(frozen=True)
class Stall:
    """Silence until the client hangs up: before the headers, or after that many events of `reply`'s stream.

    In an answer that is not streamed, with `after`, the headers are sent.
    """

    after: int | None = None
    reply: Reply = field(default_factory=lambda: Reply("This text never comes to its end."))


@dataclass(frozen=True)
class Broken:
    """An answer that is not what it should be, with a good status and a proper end.

    "json": half of an event, or half of the body. "cut": half of the events of a stream (without one, as "json"). "error": an error event in a stream that began well; without a stream, an
    error's body with the status 200. "html": a page, as from a proxy.
    """

    kind: Literal["json", "cut", "error", "html"] = "json"
    reply: Reply = field(default_factory=lambda: Reply("This text never comes to its end."))


Answer: TypeAlias = Reply | Status | Reset | Stall | Broken
Item: TypeAlias = "Answer | str | Sequence[ToolCall]"
"""A text stands for `Reply(text)`, tool calls for `Reply(tools=...)`."""


@dataclass
class Call:
    """One call that arrived, and what became of it.

    Attributes:
        number: from 1, in the order of arrival.
        path, headers, body: of the request; header names in lower case.
        answer: what was played; `None` while it is looked up, and where the script had nothing left.
        paid: the provider made an answer, whole or in part: a real one would send a bill.
        hung_up: the client closed the connection before the answer's end.
        done: nothing more will happen.
    """

    number: int
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    answer: Answer | None = None
    paid: bool = False
    hung_up: bool = False
    done: bool = False

    @property
    def streamed(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def messages(self) -> list[Mapping[str, Any]]:
        """The conversation, as the provider's API has it."""
        sent: Any = self.body.get("messages", self.body.get("input"))
        if isinstance(sent, str):
            return [{"role": "user", "content": sent}]
        return cast("list[Mapping[str, Any]]", sent) if isinstance(sent, list) else []

    @property
    def last_text(self) -> str:
        """The last message's content, as text."""
        content = self.messages[-1].get("content", "") if self.messages else ""
        return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


class Script:
    """Which answer a call gets: `faults` by its number, else `when` by its last message, else the next of `items`.

    Raises:
        TypeError: an item is none of `Item`.
    """

    def __init__(
        self,
        items: Iterable[Item] | Callable[[Call], Item],
        *,
        when: Mapping[str, Iterable[Item]],
        faults: Mapping[int, Answer],
    ) -> None:
        self._answer = items if callable(items) else None
        self._items = [] if callable(items) else [as_answer(item) for item in items]
        self._when = {text: [as_answer(item) for item in some] for text, some in when.items()}
        self._faults = dict(faults)

    def take(self, call: Call) -> Answer | None:
        """The answer for a call; `None` when there is none left."""
        if call.number in self._faults:
            return self._faults[call.number]
        for text, answers in self._when.items():
            if text in call.last_text and answers:
                return answers.pop(0)
        if self._answer is not None:
            return as_answer(self._answer(call))
        return self._items.pop(0) if self._items else None


def as_answer(item: Item) -> Answer:
    if isinstance(item, (Reply, Status, Reset, Stall, Broken)):
        return item
    if isinstance(item, str):
        return Reply(item)
    if isinstance(item, Sequence) and all(isinstance(call, ToolCall) for call in item):
        return Reply(tools=tuple(item))
    raise TypeError(
        f"{item!r} is no item of a script: write a text, a list of ToolCall, Reply, Status, Reset, Stall or Broken"
    )
