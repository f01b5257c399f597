"""States, schemas, reducers, channels and managed values: as in LangGraph, at a full replay of every task."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, NotRequired

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langgraph.channels import (
    AnyValue,
    BinaryOperatorAggregate,
    DeltaChannel,
    EphemeralValue,
    LastValueAfterFinish,
    Topic,
    UntrackedValue,
)
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from langgraph.managed import IsLastStep, RemainingSteps
from langgraph.types import Overwrite, interrupt
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

from perdure.testing import PerdureEnvironment


class Line(BaseModel):
    name: str
    amount: int = 1

    @field_validator("name")
    @classmethod
    def upper(cls, value: str) -> str:
        return value.upper()


class Order(BaseModel):
    lines: list[Line] = Field(default_factory=list)
    total: float = 0.0
    notes: Annotated[list[str], operator.add] = Field(default_factory=list)

    @field_validator("total", mode="before")
    @classmethod
    def cents(cls, value: Any) -> Any:
        return float(value.removesuffix(" cents")) / 100 if isinstance(value, str) else value


@pytest.mark.compat("State: pydantic models, validated where a node gets them")
async def test_pydantic_state_is_validated_where_a_node_gets_it(same: Any) -> None:
    def price(state: Order) -> dict[str, Any]:
        assert isinstance(state, Order)
        assert isinstance(state.lines[0], Line)
        return {"total": "250 cents", "notes": [state.lines[0].name]}

    def check(state: Order) -> Order:
        return Order(lines=[*state.lines, Line(name="gift")], total=state.total, notes=[f"{state.total}"])

    builder = StateGraph(Order).add_sequence([price, check])
    graph = builder.add_edge(START, "price").compile()
    result = await same(graph, {"lines": [{"name": "cup"}]})
    assert result["total"] == 2.5
    assert result["lines"] == [Line(name="CUP"), Line(name="GIFT")]
    assert result["notes"] == ["CUP", "2.5"]


async def test_an_input_that_a_pydantic_state_refuses_fails_the_run(same: Any) -> None:
    builder = StateGraph(Order).add_node("node", lambda state: {})
    error = await same(
        builder.add_edge(START, "node").compile(), {"lines": [{"name": "cup", "amount": "many"}]}
    )
    assert "amount" in str(error)


@pytest.mark.compat("State: input, output, private and node schemas")
async def test_input_output_private_and_node_schemas(same: Any) -> None:
    class Question(TypedDict):
        question: str

    class Result(TypedDict):
        result: str

    class Everything(Question, Result):
        log: Annotated[list[str], operator.add]

    class Private(TypedDict):
        secret: str

    @dataclass
    class Narrow:
        question: str

    def think(state: Question) -> Private:
        assert set(state) == {"question"}
        return {"secret": f"thought of {state['question']}"}

    def answer(state: Private) -> dict[str, Any]:
        assert set(state) == {"secret"}
        return {"result": state["secret"], "log": ["answered"]}

    def look(state: Narrow) -> dict[str, Any]:
        assert isinstance(state, Narrow)
        return {"log": [state.question]}

    builder = StateGraph(Everything, input_schema=Question, output_schema=Result)
    builder.add_node("think", think, input_schema=Question)
    builder.add_node("answer", answer, input_schema=Private)
    builder.add_node("look", look, input_schema=Narrow)
    builder.add_edge(START, "think")
    builder.add_edge("think", "answer")
    builder.add_edge("answer", "look")
    assert await same(builder.compile(), {"question": "why"}) == {"result": "thought of why"}


@pytest.mark.compat("State: `TypedDict` with missing keys, dataclasses with defaults")
async def test_dataclass_state_with_defaults_and_missing_keys_of_a_typed_dict(same: Any) -> None:
    @dataclass
    class Full:
        count: int = 3
        names: list[str] = field(default_factory=lambda: ["default"])

    class Partial(TypedDict):
        seen: NotRequired[list[str]]
        maybe: NotRequired[int]

    def look(state: Full) -> Full:
        return Full(count=state.count + 1, names=[*state.names, "looked"])

    def keys(state: Partial) -> Partial:
        return {"seen": sorted(state)}

    full = StateGraph(Full).add_node("look", look).add_edge(START, "look").compile()
    partial = StateGraph(Partial).add_node("keys", keys).add_edge(START, "keys").compile()
    assert await same(full, {"count": 1}) == {"count": 2, "names": ["default", "looked"]}
    assert await same(partial, {"maybe": 1}) == {"seen": ["maybe"], "maybe": 1}


def largest(left: int | None, right: int) -> int:
    return max(left or 0, right)


class Reduced(TypedDict):
    added: Annotated[list[int], operator.add]
    merged: Annotated[dict[str, int], operator.or_]
    union: Annotated[set[str], lambda left, right: left | right]
    largest: Annotated[int, largest]
    product: Annotated[int, BinaryOperatorAggregate(int, lambda left, right: (left or 1) * right)]
    messages: Annotated[list[AnyMessage], add_messages]
    plain: str


@pytest.mark.compat("State: reducers: functions, lambdas, `add_messages`, `Overwrite`")
async def test_reducers_of_every_sort(same: Any) -> None:
    def write(number: int) -> Any:
        def node(state: Reduced) -> dict[str, Any]:
            return {
                "added": [number],
                "merged": {str(number): number},
                "union": {f"item {number}"},
                "largest": 10 - number,
                "product": number,
                "messages": [AIMessage(f"message {number}")],
            }

        return node

    def clear(state: Reduced) -> dict[str, Any]:
        return {
            "messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES), HumanMessage("summary")],
            "added": Overwrite([0]),
            "plain": f"{len(state['messages'])} messages",
        }

    builder = StateGraph(Reduced)
    for number in (2, 3, 4):
        builder.add_node(f"write {number}", write(number))
        builder.add_edge(START, f"write {number}")
    builder.add_node("clear", clear, defer=True)
    builder.add_edge(["write 2", "write 3", "write 4"], "clear")
    builder.add_node("last", write(5))
    builder.add_edge("clear", "last")
    result = await same(builder.compile(), {"added": [1], "messages": [("user", "hi")]})
    assert result["added"] == [0, 5]
    assert result["union"] == {"item 2", "item 3", "item 4", "item 5"}
    assert [m.content for m in result["messages"]] == ["summary", "message 5"]
    assert result["plain"] == "4 messages"


def fold(state: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*state, *(item for write in writes for item in write)]


class Channels(TypedDict):
    delta: Annotated[list[str], DeltaChannel(fold, snapshot_frequency=3)]
    untracked: Annotated[str, UntrackedValue(str)]
    ephemeral: Annotated[str, EphemeralValue(str)]
    finished: Annotated[str, LastValueAfterFinish(str)]
    topic: Annotated[list[str], Topic(str, accumulate=True)]
    passing: Annotated[list[str], Topic(str)]
    any: Annotated[str, AnyValue(str)]
    seen: Annotated[list[Any], operator.add]


def channels_graph(*, asking: bool = False) -> Any:
    def step(name: str) -> Any:
        def node(state: Channels) -> dict[str, Any]:
            if asking and name == "c":
                interrupt("go on?")
            seen = {key: state[key] for key in sorted(state) if key != "seen"}
            return {
                "delta": [name],
                "untracked": name,
                "ephemeral": name,
                "finished": name,
                "topic": [name],
                "passing": [name],
                "any": name,
                "seen": [seen],
            }

        return node

    builder = StateGraph(Channels)
    names = "abcdefgh"
    for name in names:
        builder.add_node(name, step(name))
    builder.add_node("quiet", lambda state: {"seen": [state["delta"]]})
    builder.add_edge(START, "a")
    for before, after in pairwise(names):
        builder.add_edge(before, after)
    builder.add_edge(names[-1], "quiet")
    return builder.compile()


@pytest.mark.compat(
    "State: channels: `LastValue`, `EphemeralValue`, `UntrackedValue`, `Topic`, `LastValueAfterFinish`, `DeltaChannel`"
)
async def test_channels_of_every_sort(same: Any) -> None:
    result = await same(channels_graph(), {"delta": ["in"], "seen": []})
    assert result["delta"] == ["in", *"abcdefgh"]
    assert result["topic"] == [*"abcdefgh"]


@pytest.mark.compat(
    "State: channels: `LastValue`, `EphemeralValue`, `UntrackedValue`, `Topic`, `LastValueAfterFinish`, `DeltaChannel`"
)
async def test_a_delta_channel_is_whole_after_an_interrupt_and_after_continuing_as_new(same: Any) -> None:
    async def run(**environment: Any) -> Any:
        return await same(channels_graph(asking=True), {"delta": [], "seen": []}, answer=str, **environment)

    assert (await run())["delta"] == [*"abcdefgh"]
    assert (await run(carry_every=1))["delta"] == [*"abcdefgh"]


async def test_a_delta_channel_is_whole_in_the_next_run_of_a_thread() -> None:
    async with PerdureEnvironment.start({"g": channels_graph()}) as env:
        for name in ("1", "2"):
            run = await env.start("g", {"delta": [name]}, thread_id="t", keep_open=True)
            result = await run.result()
    assert result["delta"] == ["1", *"abcdefgh", "2", *"abcdefgh"]


class Counted(TypedDict):
    calls: Annotated[int, UntrackedValue(int)]
    seen: Annotated[list[Any], operator.add]


def count(state: Counted) -> dict[str, Any]:
    calls = state.get("calls", 0) + 1
    return {"calls": calls, "seen": [calls]}


def counting() -> Any:
    builder = StateGraph(Counted).add_node("count", count).add_edge(START, "count")
    builder.add_conditional_edges("count", lambda state: "count" if len(state["seen"]) % 4 else END)
    return builder.compile()


async def test_an_untracked_value_outlives_continuing_as_new(same: Any) -> None:
    assert (await same(counting(), {"seen": []}, carry_every=1))["calls"] == 4


async def test_an_untracked_value_does_not_outlive_its_run() -> None:
    async with PerdureEnvironment.start({"g": counting()}) as env:
        for _ in range(2):
            result = await (await env.start("g", {"seen": []}, thread_id="t", keep_open=True)).result()
    assert result == {"calls": 4, "seen": [1, 2, 3, 4, 1, 2, 3, 4]}


class Managed(TypedDict):
    log: Annotated[list[Any], operator.add]
    left: RemainingSteps
    last: IsLastStep


def look(state: Managed) -> dict[str, Any]:
    return {"log": [(state["left"], state["last"])]}


@pytest.mark.compat("State: managed values (`RemainingSteps`, `IsLastStep`)")
async def test_managed_values_and_deferred_nodes(same: Any) -> None:
    builder = StateGraph(Managed)
    builder.add_node("look", look)
    builder.add_node("short", lambda state: {"log": ["short"]})
    builder.add_node("deferred", lambda state: {"log": [f"after {len(state['log'])}"]}, defer=True)
    builder.add_edge(START, "look")
    builder.add_edge(START, "short")
    builder.add_edge("short", "deferred")
    builder.add_conditional_edges("look", lambda state: "look" if state["left"] > 2 else END, ["look", END])
    result = await same(builder.compile(), {"log": []}, config={"recursion_limit": 6})
    assert result["log"][-1].startswith("after ")


@pytest.mark.compat("State: managed values (`RemainingSteps`, `IsLastStep`)")
async def test_the_last_step_is_known_as_the_last(same: Any) -> None:
    graph = StateGraph(Managed).add_node("look", look).add_edge(START, "look").compile()
    assert (await same(graph, {"log": []}, config={"recursion_limit": 2}))["log"] == [(1, True)]
    error = await same(graph, {"log": []}, config={"recursion_limit": 1})
    assert error.cause_type == "GraphRecursionError"
