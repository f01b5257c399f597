"""LangGraph's own policies on nodes and subgraphs: retries, time limits, caches, draining."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.cache.memory import InMemoryCache
from langgraph.errors import NodeError, NodeTimeoutError
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import CachePolicy, RetryPolicy, StreamWriter, TimeoutPolicy, interrupt
from temporalio.common import RetryPolicy as TemporalRetryPolicy
from typing_extensions import TypedDict

from perdure import durable
from perdure.errors import RunFailed
from perdure.testing import PerdureEnvironment


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


def graph_of(node: Any, **options: Any) -> Any:
    compiled = options.pop("compile", {})
    return StateGraph(State).add_node("node", node, **options).add_edge(START, "node").compile(**compiled)


class Flaky:
    """Fails as often as there are errors, then says which call it was."""

    def __init__(self, *errors: Exception) -> None:
        self.calls = 0
        self._errors = errors

    def __call__(self, state: State) -> dict[str, Any]:
        self.calls += 1
        if self.calls <= len(self._errors):
            raise self._errors[self.calls - 1]
        return {"log": [self.calls]}


class Busy(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def quick(retry_on: Any, max_attempts: int = 3) -> RetryPolicy:
    return RetryPolicy(max_attempts=max_attempts, retry_on=retry_on, initial_interval=0.01, jitter=False)


RULES: dict[str, Any] = {
    "a type": KeyError,
    "a tuple": (KeyError, Busy),
    "a list": [KeyError, Busy],
    "a function": lambda error: isinstance(error, Busy) and error.code < 500,
}
ERRORS = {"key": KeyError("k"), "busy": Busy(429), "broken": Busy(500), "value": ValueError("v")}


def give_up(state: State, error: NodeError) -> dict[str, Any]:
    return {"log": [f"gave up after {error.error!r}"]}


@pytest.mark.compat("Failures: `RetryPolicy`, several on a node, every form of `retry_on`")
async def test_retry_on_decides_as_in_langgraph(same: Any) -> None:
    def make() -> Any:
        builder = StateGraph(State)
        for rule, retry_on in RULES.items():
            for name, error in ERRORS.items():
                node = f"{rule}, {name}"
                builder.add_node(node, Flaky(error), retry_policy=quick(retry_on), error_handler=give_up)
                builder.add_edge(START, node)
        return builder.compile()

    result = await same(make, {"log": []})
    assert result["log"].count(2) == 8


@pytest.mark.compat("Failures: `RetryPolicy`, several on a node, every form of `retry_on`")
async def test_the_first_policy_that_fits_an_error_decides(same: Any) -> None:
    def make() -> Any:
        return graph_of(
            Flaky(KeyError("1"), Busy(1), KeyError("2")), retry_policy=[quick(KeyError, 5), quick(Busy, 4)]
        )

    assert (await same(make, {"log": []}))["log"] == [4]


async def test_a_subgraph_with_a_retry_policy_is_repeated_from_its_start(same: Any) -> None:
    def make() -> Any:
        inner = StateGraph(State).add_sequence(
            [("first", Flaky()), ("second", Flaky(KeyError("a"), KeyError("b")))]
        )
        return graph_of(inner.add_edge(START, "first").compile(), retry_policy=quick(KeyError))

    assert (await same(make, {"log": []}))["log"] == [3, 3]


@pytest.mark.compat("Failures: `error_handler` of a node, a subgraph, a graph's defaults")
async def test_the_error_handler_of_a_subgraph_and_the_defaults_of_a_graph(same: Any) -> None:
    def handler(state: State, error: NodeError) -> dict[str, Any]:
        return {"log": [f"{error.node}: {error.error!r}"]}

    def make() -> Any:
        inner = graph_of(Flaky(*[KeyError("k")] * 9))
        builder = StateGraph(State).add_node("inner", inner).add_node("flaky", Flaky(KeyError("x"), Busy(1)))
        builder.set_node_defaults(retry_policy=quick(Busy), error_handler=handler)
        return builder.add_edge(START, "inner").add_edge(START, "flaky").compile()

    result = await same(make, {"log": []})
    assert sorted(result["log"]) == ["flaky: KeyError('x')", "inner: KeyError('k')"]


# -- time limits: real time, so an attempt either never ends or ends at once --------------------------------------------


async def stuck(state: State) -> dict[str, Any]:
    await asyncio.sleep(600)
    return {}


@pytest.mark.compat("Failures: `timeout`: `run_timeout` and `idle_timeout`")
@pytest.mark.parametrize("kind", ["run", "idle"])
async def test_an_attempt_that_takes_too_long_fails_with_langgraphs_own_error(same: Any, kind: str) -> None:
    limits = TimeoutPolicy(**{f"{kind}_timeout": 0.3})
    never = RetryPolicy(max_attempts=1)
    error = await same(graph_of(stuck, timeout=limits, retry_policy=never), {"log": []})
    assert (error.cause_type, error.node) == ("NodeTimeoutError", "node")
    assert f"exceeded its {kind} timeout of 0.300s" in str(error)


async def test_a_time_limit_is_retried_and_handled_like_any_error(same: Any) -> None:
    def handler(state: State, error: NodeError) -> dict[str, Any]:
        assert isinstance(error.error, NodeTimeoutError)
        return {"log": [error.error.kind]}

    def make() -> Any:
        calls: list[int] = []

        async def slow(state: State) -> dict[str, Any]:
            calls.append(1)
            return {"log": [len(calls)]} if len(calls) > 1 else await stuck(state)

        limits = TimeoutPolicy(run_timeout=1)
        builder = StateGraph(State).add_node(
            "slow", slow, timeout=limits, retry_policy=quick(NodeTimeoutError)
        )
        builder.add_node(
            "stuck", stuck, timeout=limits, error_handler=handler, retry_policy=RetryPolicy(max_attempts=1)
        )
        return builder.add_edge(START, "slow").add_edge(START, "stuck").compile()

    assert sorted((await same(make, {"log": []}))["log"], key=str) == [2, "run"]


async def beats(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
    for _ in range(6):
        await asyncio.sleep(0.5)
        runtime.heartbeat()
    return {"log": ["beats"]}


async def writes(state: State, writer: StreamWriter) -> dict[str, Any]:
    for number in range(6):
        await asyncio.sleep(0.5)
        writer(number)
    return {"log": ["writes"]}


@pytest.mark.compat("Failures: `timeout`: `run_timeout` and `idle_timeout`")
async def test_progress_keeps_an_idle_attempt_alive(same: Any) -> None:
    builder = StateGraph(State)
    builder.add_node("beats", beats, timeout=TimeoutPolicy(idle_timeout=2.5, refresh_on="heartbeat"))
    builder.add_node("writes", writes, timeout=TimeoutPolicy(idle_timeout=2.5))
    graph = builder.add_edge(START, "beats").add_edge(START, "writes").compile()
    assert sorted((await same(graph, {"log": []}))["log"]) == ["beats", "writes"]


async def test_a_node_with_a_time_limit_asks_and_goes_on(same: Any) -> None:
    async def ask(state: State, config: RunnableConfig) -> dict[str, Any]:
        return {"log": [interrupt("?"), config["metadata"]["langgraph_step"]]}

    graph = graph_of(ask, timeout=TimeoutPolicy(run_timeout=30, idle_timeout=30))
    assert (await same(graph, {"log": []}, answer=lambda _: "!"))["log"] == ["!", 1]


@pytest.mark.parametrize("kind", ["run", "idle"])
async def test_a_subgraphs_time_limit_is_a_workflow_timer(kind: str) -> None:
    """Its clock is the workflow's: at every replay the limit passes where it passed the first time."""
    inner = StateGraph(State).add_node("quick", lambda state: {"log": ["quick"]}).add_node("ask", stuck)
    inner.add_edge(START, "quick").add_edge("quick", "ask")
    limits = TimeoutPolicy(**{f"{kind}_timeout": 2})
    graph = graph_of(inner.compile(), timeout=limits)
    async with PerdureEnvironment.start({"g": graph}) as env:
        run = await env.start("g", {"log": []})
        with pytest.raises(RunFailed, match=f"exceeded its {kind} timeout of 2.000s"):
            await run.result()


async def test_a_subgraph_within_its_time_limit_ends_as_usual(same: Any) -> None:
    def make() -> Any:
        inner = StateGraph(State).add_sequence([("a", Flaky()), ("b", Flaky())]).add_edge(START, "a")
        return graph_of(inner.compile(), timeout=TimeoutPolicy(run_timeout=3600, idle_timeout=3600))

    await same(make, {"log": ["in"]})


async def test_durables_timeout_and_langgraphs_hold_both() -> None:
    graph = graph_of(
        stuck,
        timeout=TimeoutPolicy(run_timeout=3600),
        metadata=durable(timeout=timedelta(seconds=1), retry=TemporalRetryPolicy(maximum_attempts=1)),
    )
    async with PerdureEnvironment.start({"g": graph}) as env:
        with pytest.raises(RunFailed, match="start_to_close limit of 0:00:01"):
            await (await env.start("g", {"log": []})).result()


# -- caches ------------------------------------------------------------------------------------------------------------


class Counting:
    def __init__(self, act: Callable[[Any], Any] = lambda state: {"log": ["done"]}) -> None:
        self.calls = 0
        self._act = act

    def __call__(self, state: State) -> Any:
        self.calls += 1
        return self._act(state)


async def runs(graph: Any, *inputs: Any, **environment: Any) -> list[Any]:
    async with PerdureEnvironment.start({"g": graph}, **environment) as env:
        return [await (await env.start("g", value)).result() for value in inputs]


@pytest.mark.compat("Nodes: `cache_policy` with the graph's `cache`")
async def test_a_cached_node_is_not_called_again_for_the_same_input() -> None:
    node = Counting(lambda state: {"log": [f"done {len(state['log'])}"]})
    graph = graph_of(node, cache_policy=CachePolicy(), compile={"cache": InMemoryCache()})
    results = await runs(graph, {"log": [1]}, {"log": [1]}, {"log": [1, 2]})
    assert [r["log"][-1] for r in results] == ["done 1", "done 1", "done 2"]
    assert node.calls == 2
    assert await runs(graph, {"log": [1]}) == [results[0]]
    assert node.calls == 2
    # LangGraph's own runs have their own entries in the same cache.
    assert (await graph.ainvoke({"log": [1]}))["log"][-1] == "done 1"
    assert node.calls == 3


async def test_a_key_function_a_missing_cache_and_a_time_to_live() -> None:
    by_length = CachePolicy(key_func=lambda state: str(len(state["log"])), ttl=3600)
    node = Counting()
    await runs(
        graph_of(node, cache_policy=by_length, compile={"cache": InMemoryCache()}),
        *[{"log": [n]} for n in "abc"],
    )
    assert node.calls == 1
    node = Counting()
    await runs(graph_of(node, cache_policy=by_length), {"log": []}, {"log": []})
    assert node.calls == 2


async def test_two_graphs_share_a_cache_and_no_entries() -> None:
    cache = {"cache": InMemoryCache()}
    one, other = Counting(), Counting(lambda state: {"log": ["other"]})
    graphs = {
        "one": graph_of(one, cache_policy=CachePolicy(), compile=cache),
        "other": graph_of(other, cache_policy=CachePolicy(), compile=cache),
    }
    async with PerdureEnvironment.start(graphs) as env:
        results = [await (await env.start(name, {"log": []})).result() for name in ("one", "other", "one")]
    assert results == [{"log": ["done"]}, {"log": ["other"]}, {"log": ["done"]}]
    assert (one.calls, other.calls) == (1, 1)


async def test_a_loop_that_polls_is_cached_only_where_that_was_asked() -> None:
    node = Counting(lambda state: {"log": []})
    builder = StateGraph(State).add_node("node", node).add_edge(START, "node")
    builder.add_node("turn", lambda state: {"log": ["turn"]}).add_edge("node", "turn")
    builder.add_conditional_edges("turn", lambda state: "node" if len(state["log"]) < 4 else END)
    await runs(builder.compile(cache=InMemoryCache()), {"log": []})
    assert node.calls == 4


async def test_what_asks_or_fails_is_not_kept() -> None:
    flaky = Flaky(ValueError("no"))
    graph = graph_of(flaky, cache_policy=CachePolicy(), compile={"cache": InMemoryCache()})
    with pytest.raises(RunFailed):
        await runs(graph, {"log": []})
    assert await runs(graph, {"log": []}) == [{"log": [2]}]

    asking = Counting(lambda state: {"log": [interrupt("?")]})
    graph = graph_of(asking, cache_policy=CachePolicy(), compile={"cache": InMemoryCache()})
    async with PerdureEnvironment.start({"g": graph}) as env:
        for _ in range(2):
            run = await env.start("g", {"log": []})
            if items := await run.wait_for_approvals():
                await run.resume({items[0].id: "yes"})
            assert await run.result() == {"log": ["yes"]}


# -- draining ----------------------------------------------------------------------------------------------------------


@pytest.mark.compat(
    "`RunControl.request_drain` in a node",
    status="differs",
    how="the run continues as new and goes on",
    why="a durable run has no reason to stop there",
)
async def test_a_node_that_asks_for_a_drain_makes_the_run_continue_as_new() -> None:
    def drain(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
        assert runtime.control is not None
        assert not runtime.drain_requested
        runtime.control.request_drain("enough for now")
        return {"log": ["drain"]}

    builder = StateGraph(State).add_sequence([drain, ("after", Flaky())]).add_edge(START, "drain")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        run = await env.start("g", {"log": []})
        first = (await run.handle.describe()).run_id
        assert await run.result() == {"log": ["drain", 1]}
        assert (await run.handle.describe()).run_id != first
