"""A node that changes its input in place changes nothing but its own copy, in a worker that keeps workflows in memory too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel
from typing_extensions import TypedDict

from perdure.testing import PerdureEnvironment


class Plain(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    notes: list[list[str]]


@dataclass
class Data:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)
    notes: list[list[str]] = field(default_factory=list)


class Model(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages] = []
    notes: list[list[str]] = []


def get(state: Any, name: str) -> Any:
    return state[name] if isinstance(state, dict) else getattr(state, name)


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "replayed"])
@pytest.mark.parametrize("schema", [Plain, Data, Model])
async def test_a_change_in_place_is_seen_by_nobody(schema: Any, cached: bool) -> None:
    seen: list[tuple[list[str], list[list[str]]]] = []

    def spoil(state: Any) -> dict[str, Any]:
        messages, notes = get(state, "messages"), get(state, "notes")
        seen.append(([m.content for m in messages], [list(note) for note in notes]))
        for message in messages:
            message.content = "spoiled"
            message.response_metadata["spoiled"] = True
        notes[0].append("spoiled")
        messages.clear()
        return {"messages": [AIMessage(f"answer {len(seen)}")]}

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(schema)
    for before, name in ((START, "a"), ("a", "b"), ("b", "c")):
        builder.add_node(name, spoil)
        builder.add_edge(before, name)
    async with PerdureEnvironment.start({"g": builder.compile()}, replay_every_task=not cached) as env:
        run = await env.start("g", {"messages": [HumanMessage("hi")], "notes": [["first"]]})
        result = await run.result()
    assert seen == [
        (["hi"], [["first"]]),
        (["hi", "answer 1"], [["first"]]),
        (["hi", "answer 1", "answer 2"], [["first"]]),
    ]
    assert [m.content for m in result["messages"]] == ["hi", "answer 1", "answer 2", "answer 3"]
    assert not any(m.response_metadata for m in result["messages"])
    assert result["notes"] == [["first"]]
