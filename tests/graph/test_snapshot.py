"""What a node is given is its own, also where it is given what a node before it had."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from pydantic import BaseModel, PrivateAttr

from perdure.contract.node import NodeInput, Scratch
from perdure.graph.inputs import LiveInputs
from perdure.graph.snapshot import Copies, snapshot


def conversation() -> list[Any]:
    call = {"name": "find", "args": {"days": [1, 2]}, "id": "c1", "type": "tool_call"}
    return [
        HumanMessage("Where is it?", id="1"),
        AIMessage("", id="2", tool_calls=[call], usage_metadata=None, response_metadata={"model": "m"}),
        ToolMessage("lost", id="3", tool_call_id="c1", artifact={"rows": [1, 2]}),
    ]


def test_an_unchanged_message_is_copied_once() -> None:
    state, copies = {"messages": conversation()}, Copies()
    first = snapshot(state, copies)
    state = {"messages": [*state["messages"], AIMessage("new", id="4")]}
    second = snapshot(state, copies)
    assert second == state
    assert all(a is b for a, b in zip(first["messages"], second["messages"], strict=False))
    assert all(a is not b for a, b in zip(second["messages"], state["messages"], strict=True))
    assert first["messages"] is not second["messages"]


def change_content(messages: list[Any]) -> None:
    messages[0].content = "changed"


def change_deep_inside(messages: list[Any]) -> None:
    messages[1].tool_calls[0]["args"]["days"].append(3)


def change_an_artifact(messages: list[Any]) -> None:
    messages[2].artifact["rows"].clear()


def add_an_unknown_field(messages: list[Any]) -> None:
    messages[0].mood = "good"


def change_the_list(messages: list[Any]) -> None:
    messages.clear()


def put_in_what_cannot_be_compared(messages: list[Any]) -> None:
    class Array:
        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    messages[0].content = Array()


CHANGES = [
    change_content,
    change_deep_inside,
    change_an_artifact,
    add_an_unknown_field,
    change_the_list,
    put_in_what_cannot_be_compared,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_place_reaches_neither_the_workflow_nor_the_next_node(change: Any) -> None:
    state, copies = {"messages": conversation()}, Copies()
    change(snapshot(state, copies)["messages"])
    assert state["messages"] == conversation()
    assert snapshot(state, copies)["messages"] == conversation()


def test_a_change_by_the_workflow_reaches_the_next_node() -> None:
    message = AIMessage("hello")
    copies = Copies()
    snapshot([message], copies)
    message.id = "as add_messages does it"
    assert snapshot([message], copies)[0].id == "as add_messages does it"


def test_another_message_at_the_same_address_is_not_taken_for_the_old_one() -> None:
    copies = Copies()
    for number in range(1000):
        [twin] = snapshot([AIMessage(str(number))], copies)
        assert twin.content == str(number)


def test_copies_live_no_longer_than_the_messages() -> None:
    messages, copies = [AIMessage(str(n)) for n in range(100)], Copies()
    snapshot(messages, copies)
    del messages[10:]
    gc.collect()
    assert len(copies._by_id) == 10
    copies.forget()
    snapshot(messages, copies)
    messages.clear()
    gc.collect()
    assert len(copies._by_id) == 0


class Mail(BaseModel):
    to: list[str] = []
    _sent: list[str] = PrivateAttr(default_factory=list)


class Model(BaseModel):
    messages: list[AnyMessage] = []
    mail: Mail = Mail()


@dataclass
class Data:
    messages: list[Any] = field(default_factory=list)
    counts: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slots:
    items: list[int]


def test_models_and_dataclasses_are_copied_to_the_bottom() -> None:
    copies = Copies()
    model = Model(messages=conversation(), mail=Mail(to=["a"]))
    model.mail._sent.append("a")
    data = Data(messages=conversation(), counts={"a": [1]})
    slots = Slots([1])
    for twin in (snapshot([model, data, slots], copies), snapshot([model, data, slots], copies)):
        assert twin == [model, data, slots]
        twin[0].mail.to.append("b")
        twin[0].mail._sent.append("b")
        twin[0].messages.clear()
        twin[1].counts["a"].append(2)
        twin[2].items.append(2)
    assert (model.mail.to, model.mail._sent, len(model.messages)) == (["a"], ["a"], 3)
    assert (data.counts, slots.items) == ({"a": [1]}, [1])


def test_a_class_that_says_how_it_is_copied_is_asked() -> None:
    @dataclass
    class Shared:
        items: list[int]

        def __deepcopy__(self, memo: Any) -> Shared:
            return self

    value = Shared([1])
    assert snapshot(value) is value


def test_another_attempt_shares_nothing_with_the_one_before() -> None:
    messages = conversation()
    scratch = Scratch(step=1, stop=2, resume=[])
    inputs, copies = LiveInputs(), Copies()

    def build() -> NodeInput:
        return NodeInput(value={"messages": messages}, config={}, context=None, scratch=scratch)

    def take(call: str) -> list[Any]:
        inputs.put(("thread", "run", call), build, copies)
        given = inputs.take(("thread", "run", call))
        assert given is not None
        return given.value["messages"]

    first = take("1")
    assert take("2")[0] is first[0]
    again = inputs.take(("thread", "run", "2"))
    assert again is not None
    assert again.value["messages"][0] is not first[0]
    assert take("3")[0] is again.value["messages"][0]
