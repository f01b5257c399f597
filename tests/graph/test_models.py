"""What can be known to be wrong with a graph's models without asking anybody."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph

from perdure.graph.models import ModelProblem, model_problems
from perdure.testing import PerdureEnvironment, ScriptedChatModel


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "LANGSMITH_GATEWAY"):
        monkeypatch.delenv(name, raising=False)


def of_nodes(**nodes: Any) -> Any:
    builder = StateGraph(MessagesState)
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(START, name)
    return builder.compile()


def keyless() -> ChatAnthropic:
    return ChatAnthropic(model="claude-sonnet-5")


KEYLESS = "ChatAnthropic has no API key"


def test_a_model_without_a_key_is_found_wherever_a_node_has_it() -> None:
    model = keyless()

    def ask(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    def asks(state: MessagesState) -> Any:
        return ask(state)

    inner = of_nodes(inner=ask)
    graph = of_nodes(
        function=ask, through=asks, bound=model.bind(stop=["."]), sequence=model | (lambda _: []), graph=inner
    )
    found = list(model_problems(graph))
    assert [problem.node for problem in found] == ["function", "through", "bound", "sequence", "graph/inner"]
    assert {(problem.level, problem.text) for problem in found} == {("wrong", KEYLESS)}
    assert str(found[0]) == f"node 'function': {KEYLESS}: set ANTHROPIC_API_KEY, or pass api_key=..."


def test_an_agents_model_is_found_by_object_and_by_name() -> None:
    for model in (keyless(), "anthropic:claude-sonnet-5"):
        assert [problem.text for problem in model_problems(create_agent(model, []))] == [KEYLESS]


def test_a_key_that_came_too_late_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = create_agent(keyless(), [])
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    [problem] = model_problems(graph)
    assert "it is set now, but was not when the model was made" in problem.fix


def test_models_that_can_work_are_left_alone() -> None:
    header = ChatAnthropic(model="claude-sonnet-5", default_headers={"Authorization": "Bearer x"})
    models = [
        ChatAnthropic(model="claude-sonnet-5", api_key="x", max_retries=5),
        ChatOpenAI(model="gpt-4.1", api_key="x", max_retries=5),
        header,
        ScriptedChatModel(["hi"]),
    ]
    for model in models:
        assert list(model_problems(create_agent(model, []))) == []


def test_a_client_that_retries_by_itself_where_nobody_can_stop_it_is_hinted_at() -> None:
    class Stubborn(ScriptedChatModel):
        max_retries: int = 6

    [problem] = model_problems(create_agent(Stubborn(["hi"]), []))
    assert (problem.level, problem.node) == ("hint", "model")
    assert "up to 6 times within each attempt" in problem.text


async def test_a_worker_says_it_when_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="perdure"):
        async with PerdureEnvironment.start({"agent": create_agent(keyless(), [])}):
            pass
    expected = ModelProblem("wrong", "model", KEYLESS, "set ANTHROPIC_API_KEY, or pass api_key=...")
    assert f"graph 'agent', {expected}" in caplog.text
