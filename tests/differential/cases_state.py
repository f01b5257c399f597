"""Cases by hand: channels, reducers, messages, kinds of state, several runs on one thread."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

from case_table import START_LOG, Calls, Log, case, chain, graph, step
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.channels import AnyValue, EphemeralValue, LastValueAfterFinish, Topic, UntrackedValue
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from langgraph.types import Overwrite, Send
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict


def _union(left: set[str], right: set[str]) -> set[str]:
    return left | right


def _longest(left: str, right: str) -> str:
    return max(left, right, key=len)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Item:
    name: str
    price: Decimal = Decimal("1.10")
    tags: set[str] = field(default_factory=set)


class Address(BaseModel):
    city: str
    zip: int = 0


class Person(BaseModel):
    name: str
    address: Address | None = None
    log: Annotated[list[str], operator.add] = Field(default_factory=list)

    @field_validator("name")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value:
            raise ValueError("a person has a name")
        return value


@case({"tags": {"in"}, "text": "in", "log": []})
def reducers_of_many_kinds(calls: Calls) -> Any:
    class State(TypedDict, total=False):
        tags: Annotated[set[str], _union]
        text: Annotated[str, _longest]
        log: Annotated[list[str], lambda left, right: [*right, *left]]

    def write(name: str) -> Any:
        return step(calls, name, tags={name}, text=name * 2, log=[name])

    return graph(*(write(name) for name in ("a", "bb", "c")), edges="> a c, > bb c", schema=State).compile()


@case()
def two_write_one_plain_value(calls: Calls) -> Any:
    return graph(step(calls, "a", last=1), step(calls, "b", last=2), edges="> a, > b").compile()


@case()
def an_unknown_key_is_dropped(calls: Calls) -> Any:
    return graph(step(calls, "a", nonsense=1), step(calls, "b"), edges="> a b").compile()


@case()
def a_node_returns_no_mapping(calls: Calls) -> Any:
    def wrong(state: Log) -> Any:
        return 42

    return graph(wrong, edges="> wrong").compile()


@case({"log": "not a list"})
def a_reducer_that_cannot(calls: Calls) -> Any:
    def write(state: Log) -> dict[str, Any]:
        return {"log": 1}

    return graph(write, edges="> write").compile()


@case()
def a_value_is_overwritten(calls: Calls) -> Any:
    return graph(
        step(calls, "a"), step(calls, "b", log=Overwrite(["new"])), step(calls, "c"), edges="> a b c"
    ).compile()


@case({"log": []})
def channels_of_many_kinds(calls: Calls) -> Any:
    class State(TypedDict, total=False):
        log: Annotated[list[Any], operator.add]
        topic: Annotated[list[str], Topic(str, accumulate=True)]
        passing: Annotated[list[str], Topic(str)]
        once: Annotated[str, EphemeralValue(str)]
        untracked: Annotated[str, UntrackedValue(str)]
        anything: Annotated[str, AnyValue(str)]

    def look(name: str) -> Any:
        def node(state: State) -> dict[str, Any]:
            calls.append(name)
            kept = {key: value for key, value in state.items() if key != "log"}
            return {"log": [(name, kept)], "topic": name, "passing": name, "anything": "same"}

        node.__name__ = name
        return node

    first = step(calls, "first", once="once", untracked="untracked", topic="first", passing="first")
    return graph(
        first, look("a"), look("b"), look("c"), edges="> first a c, first b c", schema=State
    ).compile()


@case({"log": []})
def a_value_after_the_finish(calls: Calls) -> Any:
    class State(Log, total=False):
        final: Annotated[str, LastValueAfterFinish(str)]

    def look(state: State) -> dict[str, Any]:
        return {"log": [state.get("final", "none")]}

    builder = graph(step(calls, "a", final="kept"), look, edges="> a look", schema=State)
    builder.add_node("late", look, defer=True)
    builder.add_edge("look", "late")
    return builder.compile()


@case([1], [2])
def the_state_is_one_value(calls: Calls) -> Any:
    builder = StateGraph(Annotated[list, operator.add])
    builder.add_node("double", lambda state: [value * 2 for value in state])
    builder.add_node("add", lambda state: [len(state)])
    builder.add_edge(START, "double")
    builder.add_edge("double", "add")
    return builder.compile()


@case({"messages": [("user", "hello")]}, {"messages": HumanMessage("again")})
def a_chat_of_two_turns(calls: Calls) -> Any:
    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": AIMessage(f"{len(state['messages'])}", usage_metadata=None)}

    return graph(answer, edges="> answer", schema=MessagesState).compile()


@case({"messages": [HumanMessage("one", id="1"), AIMessage("two", id="2")]})
def messages_are_replaced_and_removed(calls: Calls) -> Any:
    def change(state: MessagesState) -> dict[str, Any]:
        return {
            "messages": [AIMessage("new two", id="2"), HumanMessage("three", id="3"), RemoveMessage(id="1")]
        }

    return graph(change, edges="> change", schema=MessagesState).compile()


@case({"messages": [("user", "one"), ("ai", "two")]})
def all_messages_are_removed(calls: Calls) -> Any:
    def clear(state: MessagesState) -> dict[str, Any]:
        first = state["messages"][0]
        return {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES), HumanMessage(f"was {first.content}")]}

    return graph(clear, edges="> clear", schema=MessagesState).compile()


@case({"messages": [("user", "one")]})
def a_message_without_an_id_is_removed_later(calls: Calls) -> Any:
    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("two"), AIMessage("three")]}

    def forget(state: MessagesState) -> dict[str, Any]:
        return {"messages": [RemoveMessage(id=message.id) for message in state["messages"][:2]]}

    return graph(answer, forget, edges="> answer forget", schema=MessagesState).compile()


@case({"messages": [("user", "one")]})
def removing_an_unknown_message_fails(calls: Calls) -> Any:
    def forget(state: MessagesState) -> dict[str, Any]:
        return {"messages": [RemoveMessage(id="unknown")]}

    return graph(forget, edges="> forget", schema=MessagesState).compile()


@case({"messages": []})
def tool_calls_come_through_whole(calls: Calls) -> Any:
    class Chat(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]

    def call(state: Chat) -> dict[str, Any]:
        return {"messages": [AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "t1"}])]}

    def tool(state: Chat) -> dict[str, Any]:
        [wanted] = state["messages"][-1].tool_calls
        return {
            "messages": [ToolMessage(str(wanted["args"]), tool_call_id=wanted["id"], artifact={"x": (1, 2)})]
        }

    return graph(call, tool, edges="> call tool", schema=Chat).compile()


@case({"name": "Ada"}, {"name": "Bob", "address": {"city": "Rome"}})
def a_pydantic_state(calls: Calls) -> Any:
    def move(state: Person) -> dict[str, Any]:
        city = state.address.city if state.address else "nowhere"
        return {"address": Address(city=city.upper(), zip=7), "log": [f"{state.name} from {city}"]}

    return graph(move, step(calls, "a"), edges="> move a", schema=Person).compile()


@case({"name": ""})
def a_pydantic_state_refuses_its_input(calls: Calls) -> Any:
    return chain(calls, "a", schema=Person).compile()


@case({"name": "Ada"})
def a_pydantic_state_refuses_what_a_node_wrote(calls: Calls) -> Any:
    def forget(state: Person) -> dict[str, Any]:
        return {"name": ""}

    return graph(forget, step(calls, "a"), edges="> forget a", schema=Person).compile()


@case({"items": [Item("pear")]})
def a_dataclass_state(calls: Calls) -> Any:
    @dataclass
    class Basket:
        items: Annotated[list[Item], operator.add] = field(default_factory=list)
        total: Decimal = Decimal(0)

    def add(state: Basket) -> dict[str, Any]:
        return {"items": [Item("plum", Decimal("2.5"), {"ripe"})]}

    def total(state: Basket) -> dict[str, Any]:
        return {"total": sum((item.price for item in state.items), Decimal(0))}

    return graph(add, total, edges="> add total", schema=Basket).compile()


@case({"log": [Color.RED, date(2026, 1, 2), UUID(int=5)]})
def values_of_many_types(calls: Calls) -> Any:
    def add(state: Log) -> dict[str, Any]:
        values = [
            (1, (2, None)),
            {"set": {1, 2}, "frozen": frozenset({3})},
            b"bytes",
            Decimal("1.50"),
            datetime(2026, 1, 2, tzinfo=UTC),
            timedelta(seconds=5),
            float("inf"),
            Item("plum"),
            Address(city="Rome"),
            Color.BLUE,
            {1: "number"},
        ]
        return {"log": [*values, [type(value).__name__ for value in state["log"]]]}

    def look(state: Log) -> dict[str, Any]:
        return {"last": [type(value).__name__ for value in state["log"]]}

    return graph(add, look, edges="> add look").compile()


@case(START_LOG, {"log": ["again"]}, {"log": ["third"]})
def three_runs_on_one_thread(calls: Calls) -> Any:
    return chain(calls, "a", "b").compile()


@case(START_LOG, {"last": "fail"}, {"last": "go on"})
def a_run_after_a_failed_one(calls: Calls) -> Any:
    def work(state: Log) -> dict[str, Any]:
        if state.get("last") == "fail":
            raise ValueError("as asked")
        return {"log": ["worked"]}

    return graph(step(calls, "a"), work, edges="> a work").compile()


@case(START_LOG, {"log": ["again"]})
def private_values_last_for_a_thread(calls: Calls) -> Any:
    class Private(TypedDict, total=False):
        count: Annotated[int, operator.add]

    def count(state: Log) -> Private:
        return {"count": 1}

    def look(state: Private) -> dict[str, Any]:
        return {"log": [state["count"]]}

    builder = StateGraph(Log)
    builder.add_node("count", count)
    builder.add_node("look", look, input_schema=Private)
    builder.add_edge(START, "count")
    builder.add_edge("count", "look")
    return builder.compile()


@case({"log": []})
def nodes_change_what_they_were_given(calls: Calls) -> Any:
    """A node that changes a value in place, and returns it."""

    class Plain(TypedDict, total=False):
        values: dict[str, int]
        log: Annotated[list[Any], operator.add]

    def fill(state: Plain) -> dict[str, Any]:
        return {"values": {"a": 1}}

    def change(state: Plain) -> dict[str, Any]:
        state["values"]["b"] = 2
        return {"values": state["values"]}

    return graph(fill, change, edges="> fill change", schema=Plain).compile()


@case()
def sent_values_are_not_the_state(calls: Calls) -> Any:
    def part(sent: Any) -> dict[str, Any]:
        return {"log": [sorted(sent)]}

    builder = graph(step(calls, "a"), part, edges="> a")
    builder.add_conditional_edges(
        "a", lambda state: [Send("part", {"x": 1}), Send("part", {"y": Item("z")})], ["part"]
    )
    return builder.compile()
