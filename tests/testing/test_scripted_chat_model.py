"""`ScriptedChatModel`, alone and inside LangChain's agents under plain LangGraph."""

import asyncio
import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import RetryPolicy
from pydantic import BaseModel

from perdure.activities.failures import classify
from perdure.testing.models import Delay, Malformed, ScriptedChatModel, ScriptExhausted


@tool
def stock(sku: str) -> str:
    """How many are left."""
    return f"3 of {sku}"


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    degrees: int


def added_up(chunks: list[Any]) -> Any:
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    return total


# --- the script


def test_replies_are_played_in_order_one_per_call() -> None:
    model = ScriptedChatModel(["one", AIMessage("two"), lambda messages: f"you said {messages[-1].text}"])
    assert [model.invoke("hello").content for _ in range(3)] == ["one", "two", "you said hello"]
    assert model.call_count == 3


async def test_sync_and_async_calls_share_the_script() -> None:
    model = ScriptedChatModel(["one", "two"])
    assert (await model.ainvoke("?")).content == "one"
    assert model.invoke("?").content == "two"


def test_an_exhausted_script_says_how_many_calls_there_were_and_the_last_message() -> None:
    model = ScriptedChatModel(["one", "two"])
    model.invoke("a")
    model.invoke("b")
    with pytest.raises(ScriptExhausted, match=r"call 3 .* has 2\. Last message: human 'and now\?'") as caught:
        model.invoke("and now?")
    assert classify(caught.value).retry is False


def test_an_empty_script_means_that_the_model_must_not_be_called() -> None:
    with pytest.raises(ScriptExhausted):
        ScriptedChatModel([]).invoke("hello")


def test_a_loop_starts_over() -> None:
    model = ScriptedChatModel(["a", "b"], loop=True)
    assert [model.invoke("?").content for _ in range(5)] == ["a", "b", "a", "b", "a"]


def test_a_looping_message_does_not_keep_the_id_of_its_first_run() -> None:
    scripted = AIMessage("again")
    model = ScriptedChatModel([scripted], loop=True)
    assert model.invoke("?").id != model.invoke("?").id
    assert scripted.id is None


def test_a_scripted_message_is_returned_as_it_is() -> None:
    scripted = AIMessage(
        "checking",
        id="m1",
        tool_calls=[{"name": "stock", "args": {"sku": "A"}, "id": "mine"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    )
    reply = ScriptedChatModel([scripted]).invoke("?")
    assert (reply.id, reply.content, reply.tool_calls, reply.usage_metadata) == (
        scripted.id,
        scripted.content,
        scripted.tool_calls,
        scripted.usage_metadata,
    )


def test_tool_calls_are_written_short_and_numbered_through_the_script() -> None:
    model = ScriptedChatModel([
        {"tool": "stock", "args": {"sku": "A"}},
        [{"tool": "stock", "args": {"sku": "B"}}, {"tool": "close"}, {"tool": "stock", "id": "mine"}],
        {"tool": "close"},
    ])  # fmt: skip
    calls = [[(c["id"], c["name"], c["args"]) for c in model.invoke("?").tool_calls] for _ in range(3)]
    assert calls == [
        [("call_1", "stock", {"sku": "A"})],
        [("call_2", "stock", {"sku": "B"}), ("call_3", "close", {}), ("mine", "stock", {})],
        [("call_5", "close", {})],
    ]


def test_exceptions_are_raised_at_their_call() -> None:
    model = ScriptedChatModel([TimeoutError, ConnectionError("reset"), lambda _: ValueError("no"), "fine"])
    for expected in (TimeoutError, ConnectionError, ValueError):
        with pytest.raises(expected):
            model.invoke("?")
    assert model.invoke("?").content == "fine"
    assert model.call_count == 4


async def test_a_delayed_reply_can_be_cancelled_and_counts_as_a_call() -> None:
    called = asyncio.Event()

    def slow(messages: list[BaseMessage]) -> Delay:
        called.set()
        return Delay(600, "too late")

    model = ScriptedChatModel([slow, Delay(0.001, Delay(0.001, "in time"))])
    late = asyncio.create_task(model.ainvoke("?"))
    await called.wait()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert (await model.ainvoke("?")).content == "in time"


def test_malformed_arguments_become_an_invalid_tool_call() -> None:
    reply = ScriptedChatModel([Malformed('{"sku": ', tool="stock")]).invoke("?")
    assert reply.tool_calls == []
    [invalid] = reply.invalid_tool_calls
    assert (invalid["id"], invalid["name"], invalid["args"]) == ("call_1", "stock", '{"sku": ')


def test_reply_to_looks_only_at_the_messages() -> None:
    def answer(messages: list[BaseMessage]) -> Any:
        return "done" if isinstance(messages[-1], ToolMessage) else {"tool": "stock", "args": {"sku": "A"}}

    first, second = ScriptedChatModel(reply_to=answer), ScriptedChatModel(reply_to=answer)
    asked = [HumanMessage("?"), first.invoke("?")]
    assert asked[1].tool_calls[0]["id"] == second.invoke("?").tool_calls[0]["id"] == "call_1"
    assert first.invoke([*asked, HumanMessage("and?")]).tool_calls[0]["id"] == "call_2"
    assert second.invoke([*asked, ToolMessage("3", tool_call_id="call_1")]).content == "done"


def test_usage_follows_from_the_texts_and_can_be_left_out() -> None:
    script = ["four", {"tool": "stock", "args": {"sku": "A"}}, Malformed("{{{{{")]
    model = ScriptedChatModel(script)
    usages = [model.invoke("12345678").usage_metadata for _ in script]
    assert usages == [
        {"input_tokens": 2, "output_tokens": made, "total_tokens": 2 + made} for made in (1, 3, 2)
    ]
    assert ScriptedChatModel(["four"], usage=False).invoke("12345678").usage_metadata is None


@pytest.mark.parametrize(
    "item",
    [
        3,
        None,
        {},
        [],
        ["text"],
        {"name": "stock"},
        {"tool": "a", "arguments": {}},
        int,
        Delay(1, 3),
        asyncio.CancelledError,
    ],
)
def test_what_is_no_reply_is_refused_at_once(item: Any) -> None:
    with pytest.raises(TypeError, match=r"script\[1\]"):
        ScriptedChatModel(["fine", item])


def test_what_a_function_returns_is_checked_too() -> None:
    with pytest.raises(TypeError, match="what the function returned for call 1"):
        ScriptedChatModel([lambda _: 3]).invoke("?")


@pytest.mark.parametrize(
    "make",
    [
        lambda: ScriptedChatModel(),
        lambda: ScriptedChatModel(["a"], reply_to=lambda _: "b"),
        lambda: ScriptedChatModel([], loop=True),
        lambda: ScriptedChatModel(reply_to=lambda _: "b", loop=True),
    ],
)
def test_contradictory_options_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"script|loop"):
        make()


# --- the record


def test_calls_keep_their_messages_and_what_was_bound() -> None:
    model = ScriptedChatModel(["a", "b"])
    model.invoke("first")
    model.bind_tools([stock], tool_choice="any").invoke([HumanMessage("second")], stop=["\n"])
    assert [call.messages[-1].text for call in model.calls] == ["first", "second"]
    assert [call.tool_names for call in model.calls] == [[], ["stock"]]
    assert model.calls[1].kwargs["tool_choice"] == "any"
    assert model.calls[1].kwargs["stop"] == ["\n"]


def test_everything_derived_from_a_model_shares_script_and_record() -> None:
    model = ScriptedChatModel(["a", "b", "c"])
    derived = [model, model.bind_tools([stock]), copy.copy(model)]
    assert [each.invoke("?").content for each in derived] == ["a", "b", "c"]
    assert model.call_count == 3


def test_calls_from_many_threads_each_get_an_item_of_their_own() -> None:
    model = ScriptedChatModel([{"tool": str(number)} for number in range(200)])
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: model.invoke("?"), range(200)))
    assert len({reply.tool_calls[0]["name"] for reply in replies}) == 200
    assert len({reply.tool_calls[0]["id"] for reply in replies}) == 200


async def test_a_batch_is_answered_in_order() -> None:
    texts = [str(number) for number in range(20)]
    scripted = ["-", *[Delay(0.001 if number % 2 else 0, text) for number, text in enumerate(texts)]]
    model = ScriptedChatModel([*scripted, *scripted])
    model.invoke("?")
    assert [reply.content for reply in model.bind_tools([stock]).batch(texts)] == texts
    model.invoke("?")
    assert [reply.content for reply in await model.abatch(texts)] == texts
    assert model.batch([]) == []


def test_a_batch_can_return_exceptions() -> None:
    replies = ScriptedChatModel(["a", TimeoutError, "b"]).batch(["?"] * 3, return_exceptions=True)
    assert isinstance(replies[1], TimeoutError)


# --- streams


STREAMED = [
    "The quick  brown\nfox.\n",
    "",
    [
        {"tool": "stock", "args": {"sku": "A", "words": "ä long enough text to need several chunks"}},
        {"tool": "close"},
    ],
    AIMessage([{"type": "text", "text": "in blocks"}], id="m1"),
    AIMessage(
        "calling now",
        tool_calls=[{"name": "stock", "args": {"sku": "A"}, "id": "mine"}],
        response_metadata={"finish_reason": "tool_calls"},
        additional_kwargs={"note": 1},
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    ),
    Malformed('{"sku": A}', tool="stock"),
]


@pytest.mark.parametrize("item", STREAMED)
async def test_streamed_chunks_add_up_to_the_message(item: Any) -> None:
    invoked = ScriptedChatModel([item]).invoke("?")
    streamed = list(ScriptedChatModel([item]).stream("?"))
    astreamed = [chunk async for chunk in ScriptedChatModel([item]).astream("?")]
    for total in (added_up(streamed), added_up(astreamed)):
        assert total.content == invoked.content
        assert total.tool_calls == invoked.tool_calls
        assert total.usage_metadata == invoked.usage_metadata
        assert total.additional_kwargs == invoked.additional_kwargs
        assert invoked.response_metadata.items() <= total.response_metadata.items()
        assert [(c["name"], c["args"], c["id"]) for c in total.invalid_tool_calls] == [
            (c["name"], c["args"], c["id"]) for c in invoked.invalid_tool_calls
        ]


def test_text_is_streamed_word_by_word() -> None:
    words = [chunk.content for chunk in ScriptedChatModel(["one two three"]).stream("?")]
    assert [word for word in words if word] == ["one ", "two ", "three"]


async def test_an_error_is_raised_by_the_stream() -> None:
    model = ScriptedChatModel([TimeoutError, TimeoutError])
    with pytest.raises(TimeoutError):
        list(model.stream("?"))
    with pytest.raises(TimeoutError):
        [chunk async for chunk in model.astream("?")]


# --- structured output


async def test_structured_output_is_a_tool_call() -> None:
    model = ScriptedChatModel([{"tool": "Weather", "args": {"city": "Oslo", "degrees": 4}}], loop=True)
    oslo = Weather(city="Oslo", degrees=4)
    assert model.with_structured_output(Weather).invoke("?") == oslo
    assert await model.with_structured_output(Weather).ainvoke("?") == oslo
    assert model.with_structured_output(Weather.model_json_schema()).invoke("?") == oslo.model_dump()
    assert {tuple(call.tool_names) for call in model.calls} == {("Weather",)}


def test_structured_output_that_does_not_fit_is_reported_with_the_raw_message() -> None:
    model = ScriptedChatModel([{"tool": "Weather", "args": {"city": "Oslo"}}])
    result = model.with_structured_output(Weather, include_raw=True).invoke("?")
    assert result["parsed"] is None
    assert result["parsing_error"] is not None


# --- agents


async def test_an_agent_calls_the_tool_and_answers() -> None:
    model = ScriptedChatModel([{"tool": "stock", "args": {"sku": "A-1"}}, "There are 3 left."])
    agent = create_agent(model=model, tools=[stock], system_prompt="Be brief.")
    state = await agent.ainvoke({"messages": [("user", "how many?")]})
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert state["messages"][2].content == "3 of A-1"
    assert state["messages"][-1].content == "There are 3 left."
    assert [call.tool_names for call in model.calls] == [["stock"], ["stock"]]
    assert model.calls[1].messages[-1].content == "3 of A-1"


async def test_an_agent_streams_the_models_words() -> None:
    model = ScriptedChatModel([{"tool": "stock", "args": {"sku": "A-1"}}, "There are 3 left."])
    agent = create_agent(model=model, tools=[stock])
    words = [
        chunk.content
        async for chunk, metadata in agent.astream({"messages": [("user", "?")]}, stream_mode="messages")
        if metadata["langgraph_node"] == "model" and chunk.content
    ]
    assert words == ["There ", "are ", "3 ", "left."]


def test_an_agent_gives_a_structured_response() -> None:
    model = ScriptedChatModel([{"tool": "Weather", "args": {"city": "Oslo", "degrees": 4}}])
    agent = create_agent(model=model, tools=[stock], response_format=ToolStrategy(Weather))
    state = agent.invoke({"messages": [("user", "?")]})
    assert state["structured_response"] == Weather(city="Oslo", degrees=4)


def test_a_retried_node_takes_the_next_item() -> None:
    model = ScriptedChatModel([ConnectionError("reset"), "second try"])

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    assert builder.compile().invoke({"messages": [("user", "?")]})["messages"][-1].content == "second try"
    assert model.call_count == 2
