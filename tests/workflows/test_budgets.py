"""What a run may use: counted over nodes, attempts and workflow runs; what happens when it is used up."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from temporalio.common import RetryPolicy
from typing_extensions import TypedDict

from perdure import Budget, durable
from perdure.errors import RunFailed
from perdure.testing import PerdureEnvironment, ScriptedChatModel


class State(TypedDict, total=False):
    said: Annotated[list[str], operator.add]


class Gpt(ScriptedChatModel):
    model_name: str = "gpt-4o"


@tool
def search(query: str) -> str:
    """Search."""
    return f"found {query}"


def looping(model: Any, *, calls: int, per_node: int = 1, metadata: Any = None) -> Any:
    """A node that asks its model, again and again until there are so many answers."""

    async def node(state: State) -> State:
        said: list[str] = []
        for _ in range(per_node):
            number = len(state.get("said", [])) + len(said)
            said.append((await model.ainvoke(f"question {number}")).text)
        return {"said": said}

    builder = StateGraph(State)
    builder.add_node("asks", node, metadata=metadata)
    builder.add_edge(START, "asks")
    builder.add_conditional_edges("asks", lambda state: "asks" if len(state["said"]) < calls else "__end__")
    return builder.compile()


def answers(count: int) -> list[str]:
    return [f"answer {n}" for n in range(count)]


@asynccontextmanager
async def environment(graph: Any, **options: Any) -> AsyncGenerator[PerdureEnvironment]:
    async with PerdureEnvironment.start({"g": graph}, **options) as env:
        yield env


async def test_a_run_tells_what_it_used_by_model() -> None:
    model = Gpt(answers(3))
    async with environment(looping(model, calls=3)) as env:
        run = await env.start("g", {})
        await run.result()
        usage = (await run.state()).usage
    assert usage is not None
    assert usage["run"] == usage["thread"]
    told = usage["run"]
    assert (told["model_calls"], told["tool_calls"], told["unpriced_calls"]) == (3, 0, 0)
    assert told["input_tokens"] > 0
    assert told["money"] == pytest.approx(
        (told["input_tokens"] * 2.5 + told["output_tokens"] * 10) / 1e6, rel=1e-3
    )
    assert told["models"]["gpt-4o"]["calls"] == 3


@pytest.mark.parametrize(
    ("budget", "limit"),
    [
        (Budget(model_calls=2), "model_calls"),
        (Budget(tokens=5), "tokens"),
        (Budget(money=0.000_05), "money"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("per_node", [1, 20])
async def test_the_call_that_would_go_beyond_is_not_made(budget: Budget, limit: str, per_node: int) -> None:
    model = Gpt(answers(20))
    async with environment(looping(model, calls=20, per_node=per_node), carry_every=2) as env:
        run = await env.start("g", {}, budget=budget)
        with pytest.raises(RunFailed, match=limit) as caught:
            await run.result()
        assert caught.value.cause_type == "BudgetExhausted"
        assert caught.value.details["limit"] == limit
        assert caught.value.details["of"] == "run"
        assert 1 <= model.call_count < 6
        if limit == "model_calls":
            assert model.call_count == 2


async def test_a_budget_that_is_just_enough_is_enough() -> None:
    model = Gpt(answers(3))
    async with environment(looping(model, calls=3)) as env:
        run = await env.start("g", {}, budget=Budget(model_calls=3))
        assert len((await run.result())["said"]) == 3


async def test_calls_of_attempts_that_failed_count() -> None:
    model = Gpt([ConnectionError(), ConnectionError(), ConnectionError(), "never"])
    quick = durable(retry=RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=9))
    async with environment(looping(model, calls=1, metadata=quick)) as env:
        run = await env.start("g", {}, budget=Budget(model_calls=3))
        with pytest.raises(RunFailed, match="model_calls, 3 of 3"):
            await run.result()
    assert model.call_count == 3


async def test_a_node_that_swallows_the_refusal_is_stopped_all_the_same() -> None:
    model = Gpt(answers(5))

    async def node(state: State) -> State:
        for n in range(3):
            try:
                await model.ainvoke(str(n))
            except Exception:
                return {"said": ["made do without"]}
        return {"said": []}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    async with environment(builder.compile()) as env:
        run = await env.start("g", {}, budget=Budget(model_calls=1))
        with pytest.raises(RunFailed, match="used up"):
            await run.result()


def agent(times: int, query: str | None = None) -> Any:
    script: list[Any] = [{"tool": "search", "args": {"query": query or str(n)}} for n in range(times)]
    return create_agent(ScriptedChatModel([*script, "done"]), [search])


async def test_tool_calls_are_limited() -> None:
    async with environment(agent(5)) as env:
        run = await env.start("g", {"messages": [("user", "x")]}, budget=Budget(tool_calls=3))
        with pytest.raises(RunFailed, match="tool_calls, 3 of 3"):
            await run.result()


async def test_the_same_tool_call_again_and_again_is_limited() -> None:
    async with environment(agent(5, "same"), carry_every=3) as env:
        run = await env.start("g", {"messages": [("user", "x")]}, budget=Budget(identical_calls=2))
        with pytest.raises(RunFailed, match="search 2 times") as caught:
            await run.result()
        assert caught.value.details["what"] == "search"


async def test_different_tool_calls_are_not_identical() -> None:
    async with environment(agent(5)) as env:
        run = await env.start("g", {"messages": [("user", "x")]}, budget=Budget(identical_calls=1))
        assert (await run.result())["messages"][-1].text == "done"


async def test_a_thread_has_a_budget_over_its_runs() -> None:
    model = Gpt(answers(9))
    async with environment(looping(model, calls=2)) as env:
        options: dict[str, Any] = {
            "thread_id": "t",
            "keep_open": True,
            "thread_budget": Budget(model_calls=3),
        }
        first = await env.start("g", {}, **options)
        assert len((await first.result())["said"]) == 2
        # The thread's state says already two things: one more question, and one more.
        second = await env.start("g", {}, **options)
        assert len((await second.result())["said"]) == 3
        third = await env.start("g", {}, **options)
        with pytest.raises(RunFailed, match="budget of the thread is used up: model_calls, 3 of 3"):
            await third.result()


async def test_a_task_counts_and_is_refused() -> None:
    model = Gpt(answers(9))

    async with environment(task_graph(model)) as env:
        run = await env.start("g", 2)
        assert await run.result() == ["answer 0", "answer 1"]
        usage = (await run.state()).usage
        assert usage is not None
        assert usage["run"]["model_calls"] == 2
        run = await env.start("g", 3, budget=Budget(model_calls=2))
        with pytest.raises(RunFailed) as caught:
            await run.result()
        assert caught.value.cause_type == "BudgetExhausted"


_models: list[Any] = []


@task
async def ask_model(text: str) -> str:
    return str((await _models[-1].ainvoke(text)).text)


def task_graph(model: Any) -> Any:
    _models.append(model)

    @entrypoint()
    async def flow(count: int) -> list[str]:
        return [await ask_model(f"question {n}") for n in range(count)]

    return flow


@pytest.mark.parametrize(
    ("answer", "calls"),
    [("approve", 4), ({"type": "raise", "model_calls": 4}, 6)],
    ids=["approve", "raise"],
)
async def test_a_person_may_raise_the_budget_and_nothing_is_paid_twice(answer: Any, calls: int) -> None:
    model = Gpt(answers(20))
    async with environment(looping(model, calls=20, per_node=20), time_skipping=False) as env:
        run = await env.start("g", {}, budget=Budget(model_calls=2, on_exhausted="ask"))
        [item] = await run.wait_for_approvals()
        assert (item.value["limit"], item.value["used"], item.value["allowed"]) == ("model_calls", 2, 2)
        await run.resume({item.id: answer})
        [again] = await run.wait_for_approvals()
        assert again.id != item.id
        assert model.call_count == calls
        await run.resume({again.id: "reject"})
        with pytest.raises(RunFailed, match=f"model_calls, {calls} of {calls}"):
            await run.result()
        assert model.call_count == calls


async def test_a_raised_budget_survives_continuing_as_new() -> None:
    model = Gpt(answers(5))
    async with environment(looping(model, calls=5), time_skipping=False, carry_every=1) as env:
        run = await env.start("g", {}, budget=Budget(model_calls=1, on_exhausted="ask"))
        [item] = await run.wait_for_approvals()
        await run.resume({item.id: {"type": "raise", "model_calls": 4}})
        assert (await run.result())["said"] == answers(5)
        usage = (await run.state()).usage
        assert usage is not None
        assert usage["run"]["model_calls"] == 5


async def test_an_answer_that_makes_no_sense_is_asked_for_again() -> None:
    model = Gpt(answers(5))
    async with environment(looping(model, calls=2), time_skipping=False) as env:
        run = await env.start("g", {}, budget=Budget(model_calls=1, on_exhausted="ask"))
        [item] = await run.wait_for_approvals()
        await run.resume({item.id: {"type": "raise", "model_calls": -4}})
        while not (await run.state()).interrupts:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.05)
        await run.resume({item.id: "approve"})
        assert (await run.result())["said"] == answers(2)


async def test_wall_time_passes_while_it_runs_and_not_while_a_person_is_asked() -> None:
    from langgraph.types import interrupt

    async def asks(state: State) -> State:
        return {"said": [interrupt("well?")]}

    seconds = 0.0

    async def slow(state: State) -> State:
        await asyncio.sleep(seconds)
        return {"said": ["slow"]}

    builder = StateGraph(State)
    for name, node in (("asks", asks), ("slow", slow), ("last", slow)):
        builder.add_node(name, node)
    builder.add_edge(START, "asks")
    builder.add_edge("asks", "slow")
    builder.add_edge("slow", "last")
    async with environment(builder.compile(), time_skipping=False) as env:
        run = await env.start("g", {}, budget=Budget(wall_time=timedelta(seconds=30)))
        [item] = await run.wait_for_approvals()
        await run.resume({item.id: "yes"})
        assert len((await run.result())["said"]) == 3
        seconds = 4.2
        run = await env.start("g", {}, budget=Budget(wall_time=timedelta(seconds=4)))
        [item] = await run.wait_for_approvals()
        await asyncio.sleep(seconds)
        await run.resume({item.id: "yes"})
        with pytest.raises(RunFailed, match="wall_time"):
            await run.result()
        values = (await run.state()).values
        assert values["said"] in (["yes", "slow"], ["yes"])


async def test_a_budget_in_money_needs_a_price() -> None:
    model = ScriptedChatModel(answers(1))
    async with environment(looping(model, calls=1)) as env:
        run = await env.start("g", {}, budget=Budget(money=1))
        with pytest.raises(RunFailed, match="no price is known for model 'ScriptedChatModel'"):
            await run.result()
    assert model.call_count == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens": -1},
        {"tokens": 1.5},
        {"money": 0},
        {"money": float("nan")},
        {"model_calls": True},
        {"wall_time": timedelta(0)},
        {"wall_time": 5},
        {"on_exhausted": "explode"},
    ],
    ids=str,
)
def test_a_budget_that_could_never_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Budget(**wrong)
