"""Effects: one key per call, made once where it can be known, undone when the run does not end well."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send, interrupt
from temporalio.common import RetryPolicy
from typing_extensions import TypedDict

from perdure import current_effect, effect
from perdure.contract.effect import Effect
from perdure.errors import ConfigError, RunCancelled, RunFailed
from perdure.testing import PerdureEnvironment

QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_attempts=3)
ONCE = RetryPolicy(maximum_attempts=1)


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


class World:
    """A service outside: what was asked of it, and what is so now, by key."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.doubts: list[bool] = []
        self.applied: dict[str, str] = {}
        self.undone: list[tuple[str, Any]] = []
        self.fail: dict[str, list[Exception]] = {}
        self.running = asyncio.Event()
        self.hold = asyncio.Event()

    def apply(self, name: str) -> str:
        told = current_effect()
        self.asked.append(told.key)
        self.doubts.append(told.in_doubt)
        self.applied[told.key] = name
        self.raise_if_told(name)
        return f"{name} done"

    def undo(self, name: str, result: Any, key: str) -> None:
        self.raise_if_told(f"undo {name}")
        self.undone.append((name, result))
        self.applied.pop(key, None)

    def raise_if_told(self, name: str) -> None:
        if self.fail.get(name):
            raise self.fail[name].pop(0)

    def effect(self, **options: Any) -> Callable[[str], Any]:
        options.setdefault("retry", QUICK)
        options.setdefault("undo_retry", QUICK)

        @effect(undo=self.undo, **options)
        async def act(name: str) -> str:
            return self.apply(name)

        return act


def graph_of(*nodes: Callable[[State], Any]) -> Any:
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    previous = START
    for node in nodes:
        builder.add_node(node.__name__, node, retry_policy=None)
        builder.add_edge(previous, node.__name__)
        previous = node.__name__
    return builder.compile()


def doing(act: Any, *names: str, then: Exception | None = None) -> list[Callable[[State], Any]]:
    """One node per name, each with one effect; the last one may fail."""

    def node_for(name: str) -> Callable[[State], Any]:
        async def node(state: State) -> dict[str, Any]:
            return {"log": [await act(name)]}

        node.__name__ = name
        return node

    async def end(state: State) -> dict[str, Any]:
        if then is not None:
            raise then
        return {"log": ["end"]}

    return [*(node_for(name) for name in names), end]


@pytest.fixture
def world() -> World:
    return World()


@asynccontextmanager
async def running(*nodes: Callable[[State], Any], **options: Any) -> AsyncIterator[PerdureEnvironment]:
    async with PerdureEnvironment.start({"g": graph_of(*nodes)}, **options) as env:
        yield env


async def test_outside_perdure_a_declared_function_is_the_function_itself() -> None:
    seen: list[str] = []

    @effect
    async def act(name: str, told: Effect) -> str:
        seen.append(current_effect().key)
        assert told.key == seen[-1]
        return name

    @effect(undo=lambda name: None)
    def sync(name: str) -> str:
        seen.append(current_effect().key)
        return name

    assert (await act("a"), sync("b")) == ("a", "b")  # type: ignore[call-arg]
    assert len(set(seen)) == 2
    result = await graph_of(*doing(act, "x")).ainvoke({"log": []})
    assert result["log"] == ["x", "end"]
    with pytest.raises(RuntimeError, match="outside"):
        current_effect()


async def test_an_effect_that_fails_is_tried_again_under_its_key_and_in_doubt(world: World) -> None:
    world.fail["a"] = [ConnectionError("lost")]
    async with running(*doing(world.effect(), "a", "b")) as env:
        run = await env.start("g", {"log": []})
        assert (await run.result())["log"] == ["a done", "b done", "end"]
    assert world.doubts == [False, True, False]
    assert world.asked[0] == world.asked[1] != world.asked[2]
    assert world.undone == []


async def test_a_run_that_fails_undoes_its_effects_last_one_first(world: World) -> None:
    async with running(*doing(world.effect(), "a", "b", then=ValueError("no"))) as env:
        run = await env.start("g", {"log": []})
        with pytest.raises(RunFailed, match="no") as failed:
            await run.result()
    assert world.undone == [("b", "b done"), ("a", "a done")]
    assert world.applied == {}
    assert failed.value.details["compensation"] == "compensated"
    assert failed.value.details["undone"] == ["act", "act"]


async def test_an_effect_whose_answer_was_lost_is_undone_without_a_result(world: World) -> None:
    world.fail["b"] = [ConnectionError("lost")] * 3
    async with running(*doing(world.effect(), "a", "b")) as env:
        with pytest.raises(RunFailed, match="lost"):
            await (await env.start("g", {"log": []})).result()
    assert world.undone == [("b", None), ("a", "a done")]
    assert world.applied == {}


async def test_a_cancelled_run_undoes_its_effects_after_what_was_under_way(world: World) -> None:
    @effect(undo=world.undo, retry=QUICK)
    async def slow(name: str) -> str:
        try:
            world.running.set()
            await world.hold.wait()
        finally:
            # It happened although it was cancelled.
            world.apply(name)
        return name

    # The time-skipping server can lose a workflow task that cancels an activity which has just ended.
    async with running(*doing(world.effect(), "a"), *doing(slow, "b")[:1], time_skipping=False) as env:
        run = await env.start("g", {"log": []})
        await world.running.wait()
        await run.cancel()
        with pytest.raises(RunCancelled):
            await run.result()
    assert world.undone == [("b", None), ("a", "a done")]
    assert world.applied == {}


async def test_a_node_that_is_made_again_does_not_make_its_effect_again(world: World) -> None:
    act = world.effect()
    tries: list[int] = []

    async def node(state: State) -> dict[str, Any]:
        done = [await act("a"), await act("b")]
        tries.append(1)
        if len(tries) < 2:
            raise ConnectionError("after the effects")
        return {"log": done}

    async with running(node) as env:
        assert (await (await env.start("g", {"log": []})).result())["log"] == ["a done", "b done"]
    assert len(tries) == 2
    assert len(world.asked) == 2


async def test_an_interrupt_after_an_effect_does_not_make_it_again(world: World) -> None:
    act = world.effect()

    async def node(state: State) -> dict[str, Any]:
        return {"log": [await act("a"), interrupt("sure?"), await act("b")]}

    async with running(node, carry_every=1, time_skipping=False) as env:
        run = await env.start("g", {"log": []})
        await run.wait_for_approvals()
        await run.resume("yes")
        assert (await run.result())["log"] == ["a done", "yes", "b done"]
    assert len(world.asked) == 2


async def test_effects_are_remembered_when_the_thread_continues_as_new(world: World) -> None:
    nodes = doing(world.effect(), "a", "b", "c", then=ValueError("no"))
    async with running(*nodes, carry_every=1) as env:
        with pytest.raises(RunFailed, match="no"):
            await (await env.start("g", {"log": []})).result()
    assert [name for name, _ in world.undone] == ["c", "b", "a"]


async def test_each_run_of_a_thread_has_keys_of_its_own(world: World) -> None:
    async with running(*doing(world.effect(), "a")) as env:
        for _ in range(2):
            await (await env.start("g", {"log": []}, thread_id="t", keep_open=True)).result()
        for _ in range(2):
            await (await env.start("g", {"log": []}, thread_id="u")).result()
    assert len(set(world.asked)) == 4


async def test_a_failed_run_of_an_open_thread_undoes_its_own_effects_alone(world: World) -> None:
    world.fail["b"] = [ValueError("no")]
    async with running(*doing(world.effect(), "a", "b")) as env:
        first = await env.start("g", {"log": []}, thread_id="t", keep_open=True)
        with pytest.raises(RunFailed, match="no"):
            await first.result()
        second = await env.start("g", {"log": []}, thread_id="t", keep_open=True)
        await second.result()
    assert [name for name, _ in world.undone] == ["b", "a"]
    assert sorted(world.applied.values()) == ["a", "b"]


async def test_parallel_branches_have_keys_of_their_own(world: World) -> None:
    act = world.effect()

    async def branch(state: Any) -> dict[str, Any]:
        return {"log": [await act(state["name"])]}

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    builder.add_node("branch", branch)
    builder.add_conditional_edges(START, lambda _: [Send("branch", {"name": name}) for name in "abcd"])
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        result = await (await env.start("g", {"log": []})).result()
    assert result["log"] == [f"{name} done" for name in "abcd"]
    assert sorted(world.applied.values()) == list("abcd")


@pytest.mark.parametrize("over", [True, False])
async def test_tools_may_be_effects_under_or_over_the_tool_decorator(world: World, over: bool) -> None:
    def charge(name: str) -> str:
        """Charge."""
        return world.apply(name)

    declare = effect(undo=world.undo, retry=QUICK)
    charging = declare(tool(charge)) if over else tool(declare(charge))

    async def refuse(state: MessagesState) -> dict[str, Any]:
        raise ValueError("no")

    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode([charging]))
    builder.add_node(refuse)
    builder.add_edge(START, "tools")
    builder.add_edge("tools", "refuse")
    calls = [
        {"name": "charge", "args": {"name": name}, "id": f"call-{i}", "type": "tool_call"}
        for i, name in enumerate("aab")
    ]
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"messages": [AIMessage("", tool_calls=calls)]})
        with pytest.raises(RunFailed, match="no"):
            await run.result()
        answers = [message.content for message in (await run.state()).values["messages"][1:]]
    assert answers == ["a done", "a done", "b done"]
    assert len(set(world.asked)) == 3
    assert sorted(world.undone) == [("a", "a done"), ("a", "a done"), ("b", "b done")]


async def test_a_check_is_asked_whether_it_happened(world: World) -> None:
    def look(name: str, key: str) -> str | None:
        return f"{world.applied[key]} found" if key in world.applied else None

    world.fail["a"] = [ConnectionError("lost")]
    async with running(*doing(world.effect(check=look), "a")) as env:
        assert (await (await env.start("g", {"log": []})).result())["log"] == ["a found", "end"]
    assert len(world.asked) == 1


async def test_an_effect_that_must_not_be_repeated_fails_in_doubt_and_is_undone(world: World) -> None:
    world.fail["a"] = [ConnectionError("lost")]
    async with running(*doing(world.effect(in_doubt="fail"), "a")) as env:
        with pytest.raises(RunFailed, match="may have happened"):
            await (await env.start("g", {"log": []})).result()
    assert len(world.asked) == 1
    assert world.undone == [("a", None)]


async def test_a_terminated_thread_is_found_and_compensated(world: World) -> None:
    async def wait(state: State) -> dict[str, Any]:
        return {"log": [interrupt("sure?")]}

    nodes = [*doing(world.effect(), "a", "b")[:2], wait]
    async with running(*nodes, time_skipping=False) as env:
        run = await env.start("g", {"log": []}, thread_id="t")
        await run.wait_for_approvals()
        assert [orphan async for orphan in env.perdure.orphans()] == []
        await run.handle.terminate("by hand")
        found: list[Any] = []
        while not found:
            found = [orphan async for orphan in env.perdure.orphans()]
        [(thread, owed)] = found
        assert (thread, [entry.name for entry in owed]) == ("t", ["act", "act"])
        told = await (await env.perdure.compensate("t")).result()
        assert told["compensation"] == "compensated"
        assert [name for name, _ in world.undone] == ["b", "a"]
        assert await env.perdure.owed("t") == []


@pytest.mark.parametrize(
    ("answer", "made", "result"),
    [("retry", 2, "a done"), ({"type": "happened", "result": "by phone"}, 1, "by phone")],
)
async def test_a_person_may_be_asked_whether_it_happened(
    world: World, answer: Any, made: int, result: str
) -> None:
    act = world.effect(in_doubt="ask")
    world.fail["a"] = [ConnectionError("lost")]

    async def node(state: State) -> dict[str, Any]:
        return {"log": [await act("a"), interrupt("next?"), await act("b")]}

    async with running(node) as env:
        run = await env.start("g", {"log": []})
        [pending] = await run.wait_for_approvals()
        assert (pending.value["effect"], pending.value["problem"]) == ("act", "ConnectionError: lost")
        await run.resume({pending.id: "hm"})
        [again] = await run.wait_for_approvals()
        assert again.value["effect"] == "act"
        await run.resume({again.id: answer})
        [following] = await run.wait_for_approvals()
        assert following.value == "next?"
        await run.resume({following.id: "yes"})
        assert (await run.result())["log"] == [result, "yes", "b done"]
    assert len(world.asked) == made + 1


async def test_a_person_may_refuse_to_try_again(world: World) -> None:
    world.fail["a"] = [ConnectionError("lost")]
    async with running(*doing(world.effect(in_doubt="ask"), "a")) as env:
        run = await env.start("g", {"log": []})
        [pending] = await run.wait_for_approvals()
        await run.resume({pending.id: "fail"})
        with pytest.raises(RunFailed, match="a person does not want it"):
            await run.result()
    assert world.undone == [("a", None)]


async def test_a_definite_refusal_is_not_put_to_a_person(world: World) -> None:
    world.fail["a"] = [ValueError("no such card")]
    async with running(*doing(world.effect(in_doubt="ask"), "a")) as env:
        with pytest.raises(RunFailed, match="no such card"):
            await (await env.start("g", {"log": []})).result()


async def test_an_effect_that_asks_inside_itself_is_refused(world: World) -> None:
    @effect(retry=ONCE)
    async def act(name: str) -> str:
        return interrupt("may I?")

    async with running(*doing(act, "a")) as env:
        with pytest.raises(RunFailed, match="ask before the effect"):
            await (await env.start("g", {"log": []})).result()


async def test_other_arguments_at_the_same_place_are_refused(world: World) -> None:
    act = world.effect()
    tries: list[int] = []

    async def node(state: State) -> dict[str, Any]:
        tries.append(1)
        await act(f"amount {len(tries)}")
        raise ConnectionError("after the effect")

    async with running(node) as env:
        with pytest.raises(RunFailed, match="other arguments"):
            await (await env.start("g", {"log": []})).result()
    assert len(world.asked) == 1
    assert world.applied == {}


async def test_what_cannot_be_undone_is_put_to_a_person_and_the_rest_is_undone(world: World) -> None:
    world.fail["undo b"] = [ValueError("the bank is closed")] * 2
    async with running(*doing(world.effect(), "a", "b", then=ValueError("no"))) as env:
        run = await env.start("g", {"log": []})
        [pending] = await run.wait_for_approvals()
        assert (pending.value["effect"], pending.value["problem"]) == (
            "act",
            "ValueError: the bank is closed",
        )
        assert [name for name, _ in world.undone] == ["a"]
        await run.resume({pending.id: "retry"})
        [again] = await run.wait_for_approvals()
        await run.resume({again.id: "hm"})
        [third] = await run.wait_for_approvals()
        await run.resume({third.id: {"type": "close", "reason": "paid back in cash"}})
        with pytest.raises(RunFailed, match="no") as failed:
            await run.result()
    assert failed.value.details["compensation"] == "compensation_incomplete"
    assert [closed["reason"] for closed in failed.value.details["closed"]] == ["paid back in cash"]


async def test_an_undo_that_a_person_tries_again_may_succeed(world: World) -> None:
    world.fail["undo a"] = [ValueError("closed")]
    async with running(*doing(world.effect(), "a", then=ValueError("no"))) as env:
        run = await env.start("g", {"log": []})
        [pending] = await run.wait_for_approvals()
        await run.resume({pending.id: "retry"})
        with pytest.raises(RunFailed, match="no") as failed:
            await run.result()
    assert failed.value.details["compensation"] == "compensated"
    assert world.applied == {}


async def test_a_failed_thread_started_again_makes_what_was_undone_under_a_new_key(world: World) -> None:
    world.fail["b"] = [ValueError("no")]
    async with running(*doing(world.effect(), "a", "b")) as env:
        run = await env.start("g", {"log": []}, thread_id="t")
        with pytest.raises(RunFailed, match="no"):
            await run.result()
        assert (await (await env.perdure.retry("t")).result())["log"] == ["a done", "b done", "end"]
    assert [name for name, _ in world.undone] == ["b", "a"]
    assert world.asked[1] != world.asked[2]


def test_declarations_that_could_never_work_are_refused() -> None:
    def act(name: str) -> str:
        return name

    with pytest.raises(TypeError, match="asks for 'amount'"):
        effect(undo=lambda amount: None)(act)
    with pytest.raises(ValueError, match="no check="):
        effect(in_doubt="check")(act)
    with pytest.raises(ValueError, match="must be one of"):
        effect(in_doubt="maybe")(act)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        effect(retry=RetryPolicy())(act)
    with pytest.raises(TypeError, match="goes on a function"):
        effect(3)  # type: ignore[type-var]


async def test_two_effects_with_one_name_are_refused_when_the_worker_is_made(world: World) -> None:
    one, other = world.effect(), world.effect()
    with pytest.raises(ConfigError, match="two effects"):
        async with running(*doing(one, "a"), *doing(other, "b")[:1]):
            pass


async def test_a_sync_effect_in_async_code_is_refused_instead_of_blocking(world: World) -> None:
    @effect
    def act(name: str) -> str:
        return name

    async def node(state: State) -> dict[str, Any]:
        return {"log": [act("a")]}

    async with running(node) as env:
        with pytest.raises(RunFailed, match="async def"):
            await (await env.start("g", {"log": []})).result()


async def test_an_argument_without_a_payload_form_is_named(world: World) -> None:
    act = world.effect()

    async def node(state: State) -> dict[str, Any]:
        return {"log": [await act(lambda: None)]}

    async with running(node) as env:
        with pytest.raises(RunFailed, match="arguments of effect 'act'"):
            await (await env.start("g", {"log": []})).result()


async def test_a_command_may_follow_an_effect(world: World) -> None:
    act = world.effect()

    async def node(state: State) -> Command[Any]:
        return Command(update={"log": [await act("a")]}, goto="__end__")

    async with running(node) as env:
        assert (await (await env.start("g", {"log": []})).result())["log"] == ["a done"]
