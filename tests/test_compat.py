"""The private upstream symbols: they are there, they are what we think, and replacing them changes nothing outside."""

from __future__ import annotations

import re
import uuid
from contextvars import copy_context
from pathlib import Path

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel._checkpoint import empty_checkpoint

from perdure import _compat, _compat_models
from perdure.testing.providers import FakeAnthropic, FakeOpenAI, Status

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


def test_provider_clients_retry_by_themselves_but_where_temporal_does() -> None:
    failure = Status(500, headers={"retry-after-ms": "1"})
    with FakeAnthropic() as one, FakeOpenAI() as other:
        models = [
            ChatAnthropic(model="claude-sonnet-5", **one.options),
            ChatOpenAI(model="gpt-4.1", **other.options),
        ]
        for provider, model in zip((one, other), models, strict=True):
            for scope, most in ((lambda: None, 3), (_compat_models.retry_in_temporal, 1)):
                provider.play([failure] * 5)
                with pytest.raises(Exception, match="scripted failure"):
                    copy_context().run(lambda scope=scope, model=model: (scope(), model.invoke("hi")))
                assert len(provider.calls) == most


def test_private_names_are_used_in_compat_alone() -> None:
    private = re.compile(
        r"^\s*(?:from|import)\s+(?:langgraph|langchain_core|langchain|temporalio)(?:\.\w+)*\._\w+",
        re.MULTILINE,
    )
    offenders = [
        f"{path.relative_to(SOURCE)}: {match.group().strip()}"
        for path in SOURCE.rglob("*.py")
        if not path.name.startswith("_compat")
        for match in private.finditer(path.read_text())
    ]
    assert offenders == []
