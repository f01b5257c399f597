"""A model's chunks, one by one, become what LangChain's own conversion makes of the whole stream."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models._compat_bridge import chunks_to_events
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk

from perdure.activities.speech import Speech

USAGE: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
PIECES: list[dict[str, Any]] = [
    {"content": "Let "},
    {"content": "me see", "response_metadata": {"model_name": "m"}},
    {"tool_call_chunks": [{"name": "add", "args": '{"a"', "id": "c", "index": 0}]},
    {"tool_call_chunks": [{"name": None, "args": ": 1}", "id": None, "index": 0}]},
    {"usage_metadata": USAGE, "response_metadata": {"finish_reason": "stop"}},
]


def chunks(*, last: bool) -> list[AIMessageChunk]:
    made = [AIMessageChunk(**{"content": "", **piece}, id="m1") for piece in PIECES]
    return [*made, AIMessageChunk(content="", id="m1", chunk_position="last")] if last else made


def without_names(events: list[Any]) -> list[Any]:
    return [{key: item for key, item in event.items() if key != "message_id"} for event in events]


def test_chunks_are_told_as_langchain_tells_the_whole_stream() -> None:
    for last in (True, False):
        speech = Speech()
        told = [event for chunk in chunks(last=last) for event in speech.hear(chunk, ())]
        told += [event for _, event in speech.finish()]
        whole = chunks_to_events(ChatGenerationChunk(message=chunk) for chunk in chunks(last=last))
        assert without_names(told) == list(whole)
        assert {event.get("message_id", event.get("id")) for event in told} == {"m1"}


def test_two_that_speak_at_once_and_one_that_says_it_all_together() -> None:
    speech = Speech()
    ids = ["a", "b", "a", "b"]
    told = [e for name in ids for e in speech.hear(AIMessageChunk(content="x", id=name), ("sub:1",))]
    assert [namespace for namespace, _ in speech.finish()] == [("sub:1",)] * 4
    assert [event["event"] for event in told].count("message-start") == 2
    assert [e["event"] for e in speech.hear(AIMessage("all", id="c"), ())][-1] == "message-finish"
    assert list(speech.hear(HumanMessage("said by nobody", id="d"), ())) == []
