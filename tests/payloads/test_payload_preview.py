"""The one-line preview of a value."""

from dataclasses import dataclass
from datetime import date

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Command, Send

from perdure.payloads import summary

CALL = {"name": "refund", "args": {}, "id": "c1"}


@dataclass
class Order:
    sku: str
    note: str | None = None


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("one\n  line", "one line"),
        (None, "None"),
        (1.5, "1.5"),
        ({}, "{}"),
        (b"abc", "3 bytes"),
        ({1, 2}, "2 items"),
        (date(2026, 1, 31), "2026-01-31"),
        (HumanMessage("hello"), "HumanMessage: hello"),
        (AIMessage("On it.", tool_calls=[CALL]), "AIMessage: On it. · calls refund"),
        (AIMessage("", tool_calls=[CALL, CALL]), "AIMessage: calls refund, refund"),
        ([1, 2, 3, 4, 5, 6], "[(2 more) 3; 4; 5; 6]"),
        ({"messages": [HumanMessage("hi")], "user": "ann"}, "messages=[HumanMessage: hi], user=ann"),
        (Command(goto="pay", update={"total": 3}), "Command(update=total=3, goto=pay)"),
        (Send("pay", {"n": 1}), "Send(node=pay, arg=n=1)"),
        (Order("a"), "Order(sku=a)"),
        (ValueError("bad"), "ValueError: bad"),
        (object(), "object"),
        (len, "builtin_function_or_method"),
        ([[[[[1]]]]], "[[[…]]]"),
    ],
)
def test_a_value_is_shown_in_one_line(value, line):
    assert summary(value) == line


def test_a_long_value_is_cut_to_the_limit():
    assert summary("x" * 500) == "x" * 119 + "…"
    assert summary(HumanMessage("x" * 10**6), limit=30) == "HumanMessage: " + "x" * 15 + "…"
