"""A node that is tried again does not pay again for what its models have answered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from temporalio.common import RetryPolicy
from typing_extensions import TypedDict

from perdure import durable
from perdure.errors import RunFailed
from perdure.testing import PerdureEnvironment, ScriptedChatModel


class State(TypedDict, total=False):
    said: list[str]
    tokens: int


QUICK = durable(retry=RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_attempts=3))


def graph_of(node: Callable[..., Any], metadata: dict[str, Any] | None = None) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", node, metadata=metadata)
    builder.add_edge(START, "node")
    return builder.compile()


async def answered(node: Callable[..., Any], metadata: dict[str, Any] | None = QUICK) -> State:
    async with PerdureEnvironment.start({"g": graph_of(node, metadata)}) as env:
        return await (await env.start("g", {})).result()


def fails_once(error: Exception) -> Callable[[], None]:
    left = [error]

    def fail() -> None:
        if left:
            raise left.pop()

    return fail


async def by_ainvoke(model: BaseChatModel, text: str) -> str:
    return str((await model.ainvoke(text)).content)


async def by_astream(model: BaseChatModel, text: str) -> str:
    return "".join([str(chunk.content) async for chunk in model.astream(text)])


async def by_invoke_on_the_loop(model: BaseChatModel, text: str) -> str:
    return str(model.invoke(text).content)


async def by_abatch(model: BaseChatModel, text: str) -> str:
    return str((await model.abatch([text]))[0].content)


@pytest.mark.parametrize("ask", [by_ainvoke, by_astream, by_invoke_on_the_loop, by_abatch])
async def test_what_was_answered_is_not_asked_again(ask: Any) -> None:
    model = ScriptedChatModel(["first answer", "second answer", "third answer"])
    fail = fails_once(ConnectionError("the network is down"))

    async def node(state: State) -> State:
        said = [await ask(model, "1"), await ask(model, "2")]
        fail()
        return {"said": [*said, await ask(model, "3")]}

    assert (await answered(node))["said"] == ["first answer", "second answer", "third answer"]
    assert model.call_count == 3


@pytest.mark.parametrize("how", ["invoke", "stream"])
async def test_nodes_that_run_in_threads_have_the_journal_too(how: str) -> None:
    model = ScriptedChatModel(["first answer", "second answer", "third answer"])
    fail = fails_once(TimeoutError("no answer"))

    def ask(text: str) -> str:
        if how == "invoke":
            return str(model.invoke(text).content)
        return "".join(str(chunk.content) for chunk in model.stream(text))

    def node(state: State) -> State:
        said = [ask("1"), ask("2")]
        fail()
        return {"said": [*said, ask("3")]}

    assert (await answered(node))["said"] == ["first answer", "second answer", "third answer"]
    assert model.call_count == 3


async def test_whoever_asks_the_same_twice_has_two_answers_and_the_same_two_again() -> None:
    model = ScriptedChatModel(["heads", "tails", "edge"])
    fail = fails_once(ConnectionError())
    seen: list[list[str]] = []

    async def node(state: State) -> State:
        said = [await by_ainvoke(model, "toss") for _ in range(2)]
        seen.append(said)
        fail()
        return {"said": [*said, await by_ainvoke(model, "toss")]}

    assert (await answered(node))["said"] == ["heads", "tails", "edge"]
    assert seen == [["heads", "tails"]] * 2


async def test_a_call_that_failed_leaves_no_answer_behind() -> None:
    model = ScriptedChatModel([ConnectionError("reset"), "answer"])

    async def node(state: State) -> State:
        return {"said": [await by_ainvoke(model, "1")]}

    assert (await answered(node))["said"] == ["answer"]


async def test_after_a_failure_over_what_the_model_said_it_is_asked_again() -> None:
    model = ScriptedChatModel(["not a number", "42"])

    async def node(state: State) -> State:
        return {"tokens": int(await by_ainvoke(model, "a number, please"))}

    assert (await answered(node))["tokens"] == 42


async def test_an_answer_of_the_journal_is_the_whole_message() -> None:
    reply = AIMessage(
        content="look",
        id="from-the-provider",
        tool_calls=[{"name": "search", "args": {"query": "x"}, "id": "c1"}],
        usage_metadata={"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
        response_metadata={"model_name": "m-1"},
    )
    model = ScriptedChatModel([reply])
    fail = fails_once(ConnectionError())
    got: list[AIMessage] = []

    async def node(state: State) -> State:
        got.append(await model.ainvoke("1"))
        fail()
        return {"said": []}

    await answered(node)
    assert got[0] == got[1]
    assert got[1].usage_metadata == reply.usage_metadata


async def test_another_call_of_the_node_has_a_journal_of_its_own() -> None:
    model = ScriptedChatModel(["one", "two"])

    async def node(state: State) -> State:
        return {"said": [*state.get("said", []), await by_ainvoke(model, "same")]}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_conditional_edges("node", lambda state: "node" if len(state["said"]) < 2 else "__end__")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        assert (await (await env.start("g", {})).result())["said"] == ["one", "two"]


async def test_outside_of_perdure_models_are_as_they_were() -> None:
    model = ScriptedChatModel(["one", "two"])
    assert await by_ainvoke(model, "same") == "one"
    assert await by_astream(model, "same") == "two"
    with pytest.raises(AssertionError):
        model.invoke("same")


async def test_a_node_that_never_succeeds_has_paid_for_each_answer_once() -> None:
    model = ScriptedChatModel(["one"])

    async def node(state: State) -> State:
        await by_ainvoke(model, "1")
        raise ConnectionError("down for good")

    with pytest.raises(RunFailed, match="after 3 attempts"):
        await answered(node)
    assert model.call_count == 1


class Heard(AsyncCallbackHandler, _StreamingCallbackHandler):
    """Listens to tokens, as LangGraph's streams do."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def on_llm_new_token(self, token: str, **_: Any) -> None:
        self.tokens.append(token)

    def tap_output_iter(self, run_id: Any, output: Any) -> Any:
        return output

    def tap_output_aiter(self, run_id: Any, output: Any) -> Any:
        return output


async def test_who_listens_to_tokens_hears_a_known_answer_as_well() -> None:
    model = ScriptedChatModel(["some words here"])
    fail = fails_once(ConnectionError())
    heard: list[str] = []

    async def node(state: State) -> State:
        listener = Heard()
        await model.ainvoke("1", {"callbacks": [listener]})
        heard.append("".join(listener.tokens))
        fail()
        return {"said": []}

    await answered(node)
    assert heard == ["some words here"] * 2
    assert model.call_count == 1


@pytest.mark.parametrize("carry_every", [0, 1])
async def test_what_a_person_has_approved_is_what_the_node_goes_on_with(carry_every: int) -> None:
    model = ScriptedChatModel(["first draft", "second draft", "never"])
    sent: list[str] = []

    async def drafts(state: State) -> State:
        draft = await by_ainvoke(model, "write")
        while interrupt(draft) != "approve":
            draft = await by_ainvoke(model, "write")
        sent.append(draft)
        return {"said": [draft]}

    graph = graph_of(drafts)
    async with PerdureEnvironment.start({"g": graph}, time_skipping=False, carry_every=carry_every) as env:
        run = await env.start("g", {})
        for answer, draft in (("again", "first draft"), ("approve", "second draft")):
            [item] = await run.wait_for_approvals()
            assert item.value == draft
            await run.resume({item.id: answer})
        assert (await run.result())["said"] == ["second draft"]
    assert (model.call_count, sent) == (2, ["second draft"])
