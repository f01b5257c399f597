"""`ScriptedChatModel`: a chat model that says what the test wrote down.

Side: testing, public. Owns the script, the count of calls and their record, which everything derived from one
model (`bind_tools`, `with_structured_output`, copies) shares.

Invariants: call number n plays item n, whichever thread makes it. The same script and messages give the same
text, tool-call ids and token counts.

Not guaranteed:
- Across processes. A script lives in the process that made it: a worker in a process of its own plays its own
  copy from the start. `reply_to=`, which looks only at the messages, doesn't care.
- One item per step of the agent. A node that is retried calls the model again and takes the next item; a
  workflow that is replayed does not, because nodes run in activities.
- Message ids: LangChain makes them, as for any model.
"""

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCall, invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, get_config_list
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr
from typing_extensions import override

__all__ = ["Call", "Delay", "Malformed", "Reply", "ScriptExhausted", "ScriptedChatModel"]

_Messages: TypeAlias = list[BaseMessage]

_CHARS_PER_TOKEN: Final = 4
_CHARS_PER_ARGS_CHUNK: Final = 12


@dataclass(frozen=True)
class Delay:
    """Plays `item` after `seconds`."""

    seconds: float
    item: "Reply"


@dataclass(frozen=True)
class Malformed:
    """A tool call whose arguments are `text`, which is not JSON: the message's `invalid_tool_calls`.

    When the reply is streamed, LangChain parses the arguments from the chunks and completes JSON that was only
    cut off, for this model as for real ones. Text that is broken in the middle stays invalid.
    """

    text: str
    tool: str | None = None


Reply: TypeAlias = (
    str
    | AIMessage
    | Mapping[str, Any]
    | list[Mapping[str, Any]]
    | Exception
    | type[Exception]
    | Delay
    | Malformed
    | Callable[[_Messages], "Reply"]
)
"""What one call gives: a text; a message as it is; a tool call `{"tool": name, "args": {…}}` or a list of them;
an exception to raise; `Delay`; `Malformed`; or a function from the call's messages to one of these."""


@dataclass(frozen=True)
class Call:
    """One call of the model."""

    messages: _Messages
    kwargs: dict[str, Any]
    """What was bound or passed: `tools` in OpenAI's format, `tool_choice`, `stop`, …"""

    @property
    def tool_names(self) -> list[str]:
        """The tools that the model could choose from."""
        return [tool["function"]["name"] for tool in self.kwargs.get("tools", [])]


class ScriptExhausted(AssertionError):
    """The agent called the model more often than the script has replies.

    An `AssertionError`, so that a durable run fails at once: a retry would find the script as empty.
    """


@dataclass
class _Record:
    """What the calls leave behind, shared by everything derived from one model."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: list[Call] = field(default_factory=list)
    tool_calls: int = 0

    def add(self, call: Call) -> int:
        """Records the call and returns its number, from 0."""
        with self.lock:
            self.calls.append(call)
            return len(self.calls) - 1

    def take_tool_call_numbers(self, count: int) -> range:
        with self.lock:
            first = self.tool_calls + 1
            self.tool_calls += count
        return range(first, first + count)


class ScriptedChatModel(BaseChatModel):
    """A LangChain chat model for tests.

        model = ScriptedChatModel([{"tool": "search", "args": {"query": "refund"}}, TimeoutError, "Done."])
        agent = create_agent(model=model, tools=[search])

    It invokes, streams (word by word) and batches (in order); takes tools and structured output.

    Args:
        script: The replies in the order of the calls.
        reply_to: Instead of a script, a function from the call's messages to a reply. Let it look at nothing
            else, and the model has no state: its tool-call ids follow from the messages too.
        loop: Start over after the last reply.
        usage: Give replies a `usage_metadata`: a token for every four characters. Messages in the script keep
            theirs.
        options: `BaseChatModel`'s own, such as `metadata` or `rate_limiter`.

    Raises:
        TypeError: An item of the script is no reply.
        ValueError: Both or neither of `script` and `reply_to`, or a `loop` over nothing.
        ScriptExhausted: By the call for which there is no reply.
    """

    script: tuple[Any, ...] = ()
    reply_to: Callable[[_Messages], Any] | None = None
    loop: bool = False
    usage: bool = True

    _record: _Record = PrivateAttr(default_factory=_Record)

    def __init__(
        self,
        script: Sequence[Reply] | None = None,
        *,
        reply_to: Callable[[_Messages], Reply] | None = None,
        loop: bool = False,
        usage: bool = True,
        **options: Any,
    ) -> None:
        if (script is None) == (reply_to is None):
            raise ValueError("ScriptedChatModel needs a script or reply_to=, and not both")
        if loop and not script:
            raise ValueError("loop=True has no reply to start over with; give the script at least one")
        for number, item in enumerate(script or ()):
            _check(item, f"script[{number}]")
        played = {"script": tuple(script or ()), "reply_to": reply_to, "loop": loop, "usage": usage}
        super().__init__(**played, **options)

    @property
    def calls(self) -> list[Call]:
        """The calls so far, also those that raised."""
        return list(self._record.calls)

    @property
    def call_count(self) -> int:
        """How often the model was called."""
        return len(self._record.calls)

    @property
    @override
    def _llm_type(self) -> str:
        return "scripted"

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with `tools` in the `kwargs` of its calls. They don't change what it replies."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    @override
    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """One reply for each input, in order."""
        return super().batch(inputs, _one_at_a_time(config, len(inputs)), **kwargs)

    @override
    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """One reply for each input, in order."""
        return await super().abatch(inputs, _one_at_a_time(config, len(inputs)), **kwargs)

    @override
    def _generate(
        self, messages: _Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        delay, outcome = self._play(messages, stop, kwargs)
        time.sleep(delay)
        return ChatResult(generations=[ChatGeneration(message=_message(outcome))])

    @override
    async def _agenerate(
        self, messages: _Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        delay, outcome = self._play(messages, stop, kwargs)
        await asyncio.sleep(delay)
        return ChatResult(generations=[ChatGeneration(message=_message(outcome))])

    @override
    def _stream(
        self, messages: _Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        delay, outcome = self._play(messages, stop, kwargs)
        time.sleep(delay)
        yield from _chunks(_message(outcome))

    @override
    async def _astream(
        self, messages: _Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        delay, outcome = self._play(messages, stop, kwargs)
        await asyncio.sleep(delay)
        for chunk in _chunks(_message(outcome)):
            yield chunk

    def _play(
        self, messages: _Messages, stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[float, AIMessage | Exception]:
        """This call's delay in seconds, and what comes after it."""
        recorded = {**kwargs, "stop": stop} if stop is not None else dict(kwargs)
        number = self._record.add(Call(list(messages), recorded))
        item: Any = self._item(number, messages)
        delay = 0.0
        while isinstance(item, Delay) or _is_function(item):
            if isinstance(item, Delay):
                delay, item = delay + item.seconds, item.item
            else:
                item = item(list(messages))
                _check(item, f"what the function returned for call {number + 1}")
        if isinstance(item, type):
            item = item()
        return delay, item if isinstance(item, Exception) else self._reply(item, messages)

    def _item(self, number: int, messages: _Messages) -> Any:
        if self.reply_to is not None:
            return self.reply_to
        if self.loop:
            return self.script[number % len(self.script)]
        if number < len(self.script):
            return self.script[number]
        last = f"{messages[-1].type} {str(messages[-1].text)[:200]!r}" if messages else "none"
        raise ScriptExhausted(
            f"call {number + 1} of the scripted model has no reply: the script has {len(self.script)}. "
            f"Last message: {last}. Add a reply, or pass loop=True"
        )

    def _reply(self, item: Any, messages: _Messages) -> AIMessage:
        if isinstance(item, AIMessage):
            # LangChain writes an id into what it gets; the script must keep the original.
            return item.model_copy(deep=True)
        if isinstance(item, str):
            message = AIMessage(content=item)
        elif isinstance(item, Malformed):
            [number] = self._tool_call_numbers(1, messages)
            invalid = invalid_tool_call(
                name=item.tool, args=item.text, id=f"call_{number}", error="the arguments are not valid JSON"
            )
            message = AIMessage(content="", invalid_tool_calls=[invalid])
        else:
            calls = cast("list[Mapping[str, Any]]", item if isinstance(item, list) else [item])
            numbers = self._tool_call_numbers(len(calls), messages)
            pairs = zip(numbers, calls, strict=True)
            message = AIMessage(content="", tool_calls=[_tool_call(call, number) for number, call in pairs])
        if self.usage:
            message.usage_metadata = _usage(messages, message)
        return message

    def _tool_call_numbers(self, count: int, messages: _Messages) -> range:
        if self.reply_to is None:
            return self._record.take_tool_call_numbers(count)
        replies = [message for message in messages if isinstance(message, AIMessage)]
        before = sum(len(reply.tool_calls) + len(reply.invalid_tool_calls) for reply in replies)
        return range(before + 1, before + 1 + count)


def _is_function(item: object) -> bool:
    return callable(item) and not isinstance(item, type)


def _check(item: object, where: str) -> None:
    """Raises `TypeError` unless `item` is a `Reply`."""
    if isinstance(item, Delay):
        return _check(item.item, f"{where}.item")
    if isinstance(item, (str, AIMessage, Malformed, Exception)) or _is_function(item):
        return None
    # Not any BaseException: LangChain takes one that a model raises for a result, and stumbles over it.
    if isinstance(item, type) and issubclass(item, Exception):
        return None
    calls = cast("list[object]", item) if isinstance(item, list) else [item]
    if calls and all(_is_tool_call(call) for call in calls):
        return None
    raise TypeError(
        f"{where} is {item!r}, which is no reply: give a text, an AIMessage, an exception, Delay, Malformed, "
        'a function of the messages, {"tool": name, "args": {…}} or a list of such tool calls'
    )


def _is_tool_call(item: object) -> bool:
    if not isinstance(item, Mapping):
        return False
    call = cast("Mapping[str, Any]", item)
    return isinstance(call.get("tool"), str) and set(call) <= {"tool", "args", "id"}


def _tool_call(call: Mapping[str, Any], number: int) -> ToolCall:
    return tool_call(
        name=call["tool"], args=dict(call.get("args") or {}), id=call.get("id") or f"call_{number}"
    )


def _message(outcome: AIMessage | Exception) -> AIMessage:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _usage(messages: _Messages, reply: AIMessage) -> UsageMetadata:
    given = sum(_tokens(str(message.text)) for message in messages)
    said = [str(reply.text), *(_arguments(call["args"]) for call in reply.tool_calls)]
    said += [call["args"] or "" for call in reply.invalid_tool_calls]
    made = sum(_tokens(text) for text in said)
    return UsageMetadata(input_tokens=given, output_tokens=made, total_tokens=given + made)


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARS_PER_TOKEN)


def _arguments(args: Mapping[str, Any]) -> str:
    return json.dumps(args, ensure_ascii=False)


def _chunks(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    """The message in pieces that add up to it again."""
    content = cast("str | list[str | dict[str, Any]]", message.content)
    for part in re.findall(r"\S+\s*|\s+", content) if isinstance(content, str) else [content]:
        yield _chunk(message, content=part)
    calls = [(call["name"], call["id"], _arguments(call["args"])) for call in message.tool_calls]
    calls += [(call["name"], call["id"], call["args"] or "") for call in message.invalid_tool_calls]
    for index, (name, call_id, arguments) in enumerate(calls):
        opening = tool_call_chunk(name=name, args="", id=call_id, index=index)
        yield _chunk(message, tool_call_chunks=[opening])
        for start in range(0, len(arguments), _CHARS_PER_ARGS_CHUNK):
            part = arguments[start : start + _CHARS_PER_ARGS_CHUNK]
            yield _chunk(message, tool_call_chunks=[tool_call_chunk(args=part, index=index)])
    yield _chunk(
        message,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        chunk_position="last",
    )


def _chunk(message: AIMessage, **fields: Any) -> ChatGenerationChunk:
    content: Any = "" if isinstance(message.content, str) else []
    fields = {"content": content, "id": message.id} | fields
    return ChatGenerationChunk(message=AIMessageChunk(**fields))


def _one_at_a_time(
    config: RunnableConfig | Sequence[RunnableConfig] | None, count: int
) -> list[RunnableConfig]:
    """LangChain runs a batch on many threads, which would take the script's items in any order."""
    return [cast("RunnableConfig", {**each, "max_concurrency": 1}) for each in get_config_list(config, count)]
