"""The private upstream symbols: they are there, they are what we think, and replacing them changes nothing outside."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel._checkpoint import empty_checkpoint

from perdure import _compat

SOURCE = Path(_compat.__file__).parent


@pytest.mark.parametrize(
    ("owner", "name"), list(_compat.REPLACED), ids=lambda value: getattr(value, "__name__", value)
)
def test_every_replaced_symbol_exists_upstream_and_install_is_idempotent(owner: object, name: str) -> None:
    assert hasattr(owner, name)
    _compat.install()
    _compat.install()
    assert getattr(owner, name) is _compat.REPLACED[owner, name]


def test_outside_a_workflow_langgraph_is_as_it_was() -> None:
    _compat.install()
    builder = StateGraph(MessagesState)
    builder.add_node("node", lambda state: {"messages": [("ai", "hi")]})
    builder.add_edge(START, "node")
    graph = builder.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    messages = graph.invoke({"messages": [("user", "x")]}, config)["messages"]
    ids = [uuid.UUID(message.id) for message in messages]
    assert len(set(ids)) == 2
    states = [state.config["configurable"]["checkpoint_id"] for state in graph.get_state_history(config)]
    assert states == sorted(states, reverse=True)
    assert {uuid.UUID(state).version for state in states} == {6}
    assert uuid.UUID(empty_checkpoint()["id"]).version == 6


def test_private_names_are_used_in_compat_alone() -> None:
    private = re.compile(
        r"^\s*(?:from|import)\s+(?:langgraph|langchain_core|langchain|temporalio)(?:\.\w+)*\._\w+",
        re.MULTILINE,
    )
    offenders = [
        f"{path.relative_to(SOURCE)}: {match.group().strip()}"
        for path in SOURCE.rglob("*.py")
        if path.name != "_compat.py"
        for match in private.finditer(path.read_text())
    ]
    assert offenders == []
