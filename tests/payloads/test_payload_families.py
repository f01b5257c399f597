"""LangChain's and LangGraph's own types survive a round trip, and read well."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.prompt_values import ChatPromptValue, ImagePromptValue, StringPromptValue
from langgraph.errors import GraphInterrupt, GraphRecursionError
from langgraph.store.base import Item, SearchItem
from langgraph.types import Command, Interrupt, Overwrite, PregelTask, Send, StateSnapshot, TimeoutPolicy

from perdure.payloads import TypeRegistry, decode, dumps, encode, loads

REGISTRY = TypeRegistry()
CALL = {"name": "refund", "args": {"amount": 42.1, "lines": [1, 2]}, "id": "c1", "type": "tool_call"}
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "input_token_details": {"cache_read": 1}}

MESSAGES = [
    HumanMessage("hi"),
    HumanMessage([{"type": "text", "text": "a"}, "b"], name="ann", id="h1", custom="extra"),
    HumanMessage("x", **{"$type": "odd extra", "$unset": 1}),
    SystemMessage("be brief", additional_kwargs={"cache": {"ttl": "5m"}}),
    AIMessage(
        "",
        id="a1",
        tool_calls=[CALL],
        invalid_tool_calls=[
            {"name": "f", "args": "{", "id": "c2", "error": "no JSON", "type": "invalid_tool_call"}
        ],
        usage_metadata=USAGE,
        response_metadata={"model_name": "m", "logprobs": None, "at": datetime(2026, 1, 1, tzinfo=UTC)},
        additional_kwargs={"reasoning": {"signature": b"\x00"}},
    ),
    ToolMessage(
        "42", tool_call_id="c1", name="refund", artifact={"rows": (1, 2), "set": {3}}, status="error"
    ),
    ToolMessage("42", tool_call_id="c1", artifact=HumanMessage("nested")),
    ChatMessage("x", role="critic"),
    FunctionMessage("x", name="f"),
    RemoveMessage(id="h1"),
    BaseMessage(content="x", type="odd"),
    HumanMessageChunk("h"),
    SystemMessageChunk("s"),
    AIMessageChunk(
        "",
        tool_call_chunks=[{"name": "f", "args": '{"a', "id": "1", "index": 0, "type": "tool_call_chunk"}],
        chunk_position="last",
        usage_metadata=USAGE,
    ),
    ToolMessageChunk("t", tool_call_id="c1"),
    ChatMessageChunk("c", role="r"),
    FunctionMessageChunk("f", name="f"),
    Document("page", metadata={"source": ("a", 1)}, id="d1"),
    StringPromptValue(text="p"),
    ChatPromptValue(messages=[HumanMessage("a"), AIMessage("b")]),
    ImagePromptValue(image_url={"url": "https://example.com/i.png"}),
    AgentAction(tool="t", tool_input={"a": 1}, log="l"),
    AgentFinish({"out": 1}, "log"),
    ChatResult(generations=[ChatGeneration(message=AIMessage("hi", id="1"))], llm_output={"tokens": 3}),
    LLMResult(generations=[[ChatGeneration(message=AIMessage("hi"))]]),
]


@pytest.mark.parametrize("value", MESSAGES, ids=lambda value: type(value).__name__)
def test_langchain_values_come_back_equal(value):
    back = loads(dumps([value], REGISTRY), REGISTRY)[0]
    assert type(back) is type(value)
    assert back == value
    assert back.__dict__ == value.__dict__
    assert list(back.__dict__) == [name for name in type(value).model_fields if name in value.__dict__]
    assert back.model_dump() == value.model_dump()
    assert (back.__pydantic_extra__ or {}) == (value.__pydantic_extra__ or {})


def test_restored_messages_still_work():
    back = loads(dumps(MESSAGES[4], REGISTRY), REGISTRY)
    assert back.text == ""
    assert back.model_copy(update={"content": "new"}).content == "new"
    assert back.tool_calls == [CALL]
    chunk = loads(dumps(AIMessageChunk("a", id="1"), REGISTRY), REGISTRY)
    assert (chunk + AIMessageChunk("b", id="1")).content == "ab"
    back.content = "changed"
    assert back.content == "changed"


def test_restored_messages_share_no_defaults():
    data = dumps([HumanMessage("a"), HumanMessage("b")], REGISTRY)
    first, second = loads(data, REGISTRY)
    first.additional_kwargs["x"] = 1
    assert second.additional_kwargs == {}
    assert loads(data, REGISTRY)[0].additional_kwargs == {}


def test_a_message_reads_well():
    message = AIMessage("On it.", id="a1", tool_calls=[CALL], usage_metadata=USAGE)
    assert dumps(message, REGISTRY).decode() == (
        '{"$type":"AIMessage","content":"On it.","id":"a1",'
        '"tool_calls":[{"name":"refund","args":{"amount":42.1,"lines":[1,2]},"id":"c1","type":"tool_call"}],'
        '"usage_metadata":{"input_tokens":3,"output_tokens":4,"total_tokens":7,'
        '"input_token_details":{"cache_read":1}}}'
    )
    assert dumps(HumanMessage("hi"), REGISTRY).decode() == '{"$type":"HumanMessage","content":"hi"}'


LANGGRAPH = [
    Command(),
    Command(goto="next"),
    Command(goto=["a", Send("b", {"n": (1,)})], update={"messages": [AIMessage("x")]}),
    Command(goto=Send("b", HumanMessage("x")), graph=Command.PARENT),
    Command(update=[("a", 1), ("b", {2})], resume={"id": "yes"}),
    Command(resume=False),
    Send("node", None),
    Send("node", {"a": 1}, timeout=timedelta(seconds=3)),
    Send("node", [], timeout=TimeoutPolicy(run_timeout=1.0, idle_timeout=2.0, refresh_on="heartbeat")),
    Interrupt({"question": "ok?", "draft": HumanMessage("x")}, id="i1"),
    Interrupt("q", id="i2", response_schema={"type": "object", "$defs": {}}),
    Overwrite([1, (2,)]),
    Overwrite(None),
    TimeoutPolicy(run_timeout=1.5),
    PregelTask("id", "name", ("__pregel_pull", "name"), interrupts=(Interrupt("x", id="i"),)),
    StateSnapshot({"a": 1}, ("n",), {"configurable": {}}, None, None, None, (), ()),
]


@pytest.mark.parametrize("value", LANGGRAPH)
def test_langgraph_values_come_back_equal(value):
    for back in (loads(dumps(value, REGISTRY), REGISTRY), decode(encode([value], REGISTRY), REGISTRY)[0]):
        assert type(back) is type(value)
        assert back == value


def test_every_field_of_an_interrupt_comes_back():
    value = Interrupt("q", id="i2", response_schema={"type": "string"})
    back = loads(dumps(value, REGISTRY), REGISTRY)
    assert (back.value, back.id, back.response_schema) == ("q", "i2", {"type": "string"})


def test_store_items_come_back_equal():
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    item = Item(value={"a": (1,)}, key="k", namespace=("users", "u1"), created_at=at, updated_at=at)
    found = SearchItem(("users",), "k", {"a": 1}, at, at, score=0.5)
    back = loads(dumps([item, found], REGISTRY), REGISTRY)
    assert [type(each) for each in back] == [Item, SearchItem]
    assert back == [item, found]
    assert back[1].score == 0.5
    assert json.loads(dumps(item, REGISTRY))["namespace"] == ["users", "u1"]


def test_a_command_reads_well():
    value = Command(goto="pay", update={"total": 3})
    assert encode(value, REGISTRY) == {"$type": "Command", "update": {"total": 3}, "goto": "pay"}


def test_langgraph_errors_come_back():
    interrupt = GraphInterrupt((Interrupt("q", id="i"),))
    back = loads(dumps([interrupt, GraphRecursionError("25 steps")], REGISTRY), REGISTRY)
    assert [type(each) for each in back] == [GraphInterrupt, GraphRecursionError]
    assert back[0].args == interrupt.args
    assert str(back[1]) == "25 steps"
