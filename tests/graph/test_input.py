"""Inputs are refused only for what can't be meant."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from perdure.errors import InputInvalid
from perdure.graph.input import check_input


class Request(TypedDict):
    text: str
    count: typing.NotRequired[int]


class OldStyle(typing.TypedDict):
    text: str


class Model(BaseModel):
    text: str
    count: int = 0


class Case(Request):
    answer: str


def graph_of(schema: Any, **options: Any) -> Any:
    builder = StateGraph(schema, **options)
    builder.add_node("node", lambda state: {})
    builder.add_edge(START, "node")
    return builder.compile()


@pytest.mark.parametrize("schema", [Request, OldStyle, Model])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "graph 'g' needs an input; its fields: text"),
        ([], "is a list, not an object"),
        ({}, "lacks 'text'"),
        ({"tekst": "a"}, "no input field 'tekst'; its fields: text"),
        ({"text": "a", "more": 1}, "no input field 'more'"),
        ({"text": 3}, "text: Input should be a valid string"),
    ],
)
def test_what_cannot_be_meant_is_refused(schema: Any, value: Any, message: str) -> None:
    with pytest.raises(InputInvalid, match=message):
        check_input(graph_of(schema), "g", value)


@pytest.mark.parametrize("schema", [Request, OldStyle, Model])
def test_what_fits_is_taken(schema: Any) -> None:
    check_input(graph_of(schema), "g", {"text": "a"})


def test_an_input_schema_of_its_own_is_required_whole() -> None:
    graph = graph_of(Case, input_schema=Request)
    check_input(graph, "g", {"text": "a"})
    with pytest.raises(InputInvalid, match="lacks 'text'"):
        check_input(graph, "g", {"count": 1})
    with pytest.raises(InputInvalid, match="no input field 'answer'"):
        check_input(graph, "g", {"text": "a", "answer": "b"})


@pytest.mark.parametrize("messages", [[("user", "hi")], [{"role": "user", "content": "hi"}], "hi"])
def test_reducers_take_what_they_take(messages: Any) -> None:
    check_input(graph_of(MessagesState), "g", {"messages": messages})


def test_a_functional_graph_takes_anything() -> None:
    @entrypoint()
    def flow(value: int) -> int:
        return value

    check_input(flow, "g", 3)
