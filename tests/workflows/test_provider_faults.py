"""What becomes of a provider's failures, through the real clients: the result, the calls made, the kinds recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import pytest_asyncio
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from temporalio.common import RetryPolicy
from typing_extensions import TypedDict

from perdure import Verdict, durable
from perdure.cli.story import Step, Story
from perdure.errors import OutputEmpty, RunFailed
from perdure.testing import PerdureEnvironment
from perdure.testing.providers import (
    Broken,
    FakeAnthropic,
    FakeOpenAI,
    Reply,
    Reset,
    Stall,
    Status,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

Provider = FakeAnthropic | FakeOpenAI


class State(TypedDict):
    text: str


class Unlucky(Exception):
    """Known to the project's own part of the table alone."""


@dataclass
class Outcome:
    """What a run came to, and its one step as `perdure show` tells it."""

    text: str
    failure: RunFailed | None
    step: Step

    @property
    def kinds(self) -> list[str]:
        return self.step.failures


class Api:
    """Graphs of one node that asks a model, for one provider and one way to ask it."""

    def __init__(self, provider: Provider, env: PerdureEnvironment) -> None:
        self.provider = provider
        self.env = env

    async def run(self, *script: Any, graph: str = "plain", **faults: Any) -> Outcome:
        self.provider.play(script, **faults)
        run = await self.env.start(graph, {"text": ""})
        text, failure = "", None
        try:
            text = (await run.result())["text"]
        except RunFailed as error:
            failure = error
        story = Story()
        async for event in run.handle.fetch_history_events():
            story.apply(event)
        [step] = story.steps
        return Outcome(text, failure, step)


def model_of(provider: Provider, *, streaming: bool, **options: Any) -> Any:
    # No `max_retries=0`: that Temporal alone retries is Perdure's business.
    settings = {"timeout": 20, "streaming": streaming, **provider.options, **options}
    if isinstance(provider, FakeAnthropic):
        return ChatAnthropic(model="claude-sonnet-5", **settings)
    return ChatOpenAI(model="gpt-4.1", **settings)


def graph_of(model: Any, **options: Any) -> Any:
    async def ask(state: State) -> dict[str, str]:
        return {"text": (await model.ainvoke("hi")).text}

    return compiled(ask, **options)


def compiled(node: Any, **options: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("ask", node, **options)
    builder.add_edge(START, "ask")
    return builder.compile()


def graphs_of(provider: Provider, *, streaming: bool) -> dict[str, Any]:
    model = model_of(provider, streaming=streaming)

    def in_a_thread(state: State) -> dict[str, str]:
        return {"text": model.invoke("hi").text}

    async def careful(state: State) -> dict[str, str]:
        try:
            return {"text": (await model.ainvoke("hi")).text}
        except OutputEmpty:
            return {"text": "it said nothing"}

    return {
        "plain": graph_of(model),
        "in a thread": compiled(in_a_thread),
        "impatient": graph_of(model_of(provider, streaming=streaming, timeout=0.3)),
        "complete": graph_of(model, metadata=durable(model_output="complete")),
        "careful": compiled(careful, metadata=durable(model_output="complete")),
        "often": graph_of(model, metadata=durable(retry=RetryPolicy(maximum_attempts=3))),
    }


def own_table(error: BaseException) -> Verdict | None:
    return Verdict(retry=False, kind="unlucky") if "unlucky" in str(error) else None


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["anthropic", "openai, streamed"],
)
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    name, _, streamed = request.param.partition(", ")
    with FakeAnthropic() if name == "anthropic" else FakeOpenAI() as provider:
        graphs = graphs_of(provider, streaming=bool(streamed))
        async with PerdureEnvironment.start(graphs, classify=own_table) as env:
            yield Api(provider, env)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Status(408), "timeout"),
        (Status(409), "conflict"),
        (Status(429), "rate_limited"),
        (Status(500), "server_error"),
        (Status(503), "overloaded"),
        (Status(529), "overloaded"),
        (Reset(), "connection"),
        (Reset(after=3), "connection"),
        (Broken("json"), "malformed_output"),
        (Broken("html"), "malformed_output"),
    ],
    ids=repr,
)
async def test_what_may_pass_is_tried_again_by_temporal_alone(api: Api, fault: Any, kind: str) -> None:
    outcome = await api.run(fault, fault, "there")
    assert (outcome.text, len(api.provider.calls), outcome.step.attempts) == ("there", 3, 3)
    assert outcome.kinds == [kind, kind]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Status(400), "bad_request"),
        (Status(401), "auth"),
        (Status(403), "auth"),
        (Status(404), "not_found"),
        (Status(413), "bad_request"),
        (Status(429, type="insufficient_quota"), "quota"),
        (Status(500, headers={"x-should-retry": "false"}), "server_error"),
    ],
    ids=repr,
)
async def test_what_cannot_pass_fails_at_once(api: Api, fault: Status, kind: str) -> None:
    outcome = await api.run(fault, "never")
    assert outcome.failure is not None
    assert (outcome.failure.node, outcome.failure.details["kind"]) == ("ask", kind)
    assert (len(api.provider.calls), outcome.kinds) == (1, [kind])


async def test_sync_nodes_leave_the_retries_to_temporal_too(api: Api) -> None:
    outcome = await api.run(Status(503), "there", graph="in a thread")
    assert (outcome.text, len(api.provider.calls), outcome.kinds) == ("there", 2, ["overloaded"])


async def test_an_error_within_an_answer_is_tried_again(api: Api) -> None:
    outcome = await api.run(Broken("error"), "there")
    assert (outcome.text, len(api.provider.calls)) == ("there", 2)
    assert outcome.kinds in (["overloaded"], ["malformed_output"])


@pytest.mark.parametrize("stall", [Stall(), Stall(after=3)], ids=repr)
async def test_silence_is_cut_by_the_clients_own_timeout(api: Api, stall: Stall) -> None:
    outcome = await api.run(stall, "there", graph="impatient")
    assert (outcome.text, len(api.provider.calls), outcome.kinds) == ("there", 2, ["timeout"])
    api.provider.wait_until(lambda calls: calls[0].hung_up)


async def test_a_provider_that_is_down_is_no_connection(api: Api) -> None:
    with api.provider.down():
        outcome = await api.run("never")
    assert outcome.failure is not None
    assert outcome.failure.details["kind"] == "connection"
    assert (outcome.failure.details["attempts"], api.provider.calls) == (4, [])


async def test_slow_and_long_answers_are_answers(api: Api) -> None:
    assert (await api.run(Reply("drop by drop", chunk_chars=2, pause=0.01))).text == "drop by drop"
    outcome = await api.run(Reply("x" * 300_000, chunk_chars=10_000))
    assert (len(outcome.text), outcome.step.attempts) == (300_000, 1)


async def test_the_project_says_first_what_a_failure_means(api: Api) -> None:
    outcome = await api.run(Status(503, message="unlucky"), "never")
    assert (outcome.kinds, len(api.provider.calls)) == (["unlucky"], 1)


async def test_broken_answers_are_fewer_than_lost_ones(api: Api) -> None:
    outcome = await api.run(*[Broken("html")] * 3, "never")
    assert outcome.failure is not None
    assert outcome.kinds == ["malformed_output"] * 3
    mixed = await api.run(Status(503), Broken("html"), Status(503), "there", graph="plain")
    assert (mixed.text, mixed.kinds) == ("there", ["overloaded", "malformed_output", "overloaded"])


# --- answers that are none


WRONG = [
    (Reply(), "OutputEmpty"),
    (Reply("only half", stop="max_tokens"), "OutputTruncated"),
    (Reply("not this", stop="filtered"), "OutputRefused"),
]


@pytest.mark.parametrize(("reply", "name"), WRONG, ids=[name for _, name in WRONG])
async def test_by_default_a_node_goes_on_as_natively_and_it_shows(api: Api, reply: Reply, name: str) -> None:
    outcome = await api.run(reply)
    assert (outcome.text, outcome.step.attempts, outcome.step.outputs) == (reply.text, 1, [name])


@pytest.mark.parametrize(("reply", "name"), WRONG, ids=[name for _, name in WRONG])
async def test_a_node_may_ask_for_complete_answers(api: Api, reply: Reply, name: str) -> None:
    outcome = await api.run(reply, "there", graph="complete")
    if name == "OutputEmpty":
        assert (outcome.text, outcome.kinds) == ("there", ["malformed_output"])
        return
    assert outcome.failure is not None
    assert (outcome.failure.cause_type, len(api.provider.calls)) == (name, 1)
    assert outcome.failure.details.get("output", "") == reply.text


async def test_a_node_may_handle_them_itself(api: Api) -> None:
    outcome = await api.run(Reply(), graph="careful")
    assert (outcome.text, outcome.step.attempts) == ("it said nothing", 1)


async def test_a_stream_that_stops_in_the_middle_is_no_answer(api: Api) -> None:
    if not graph_streams(api):
        pytest.skip("only streams can")
    noted = await api.run(Broken("cut"))
    assert noted.step.outputs == ["OutputIncomplete"]
    outcome = await api.run(Broken("cut"), "there", graph="complete")
    assert (outcome.text, outcome.kinds) == ("there", ["connection"])


def graph_streams(api: Api) -> bool:
    node = api.env.plugin.registry.graph("plain").nodes["ask"].bound
    return bool(node.afunc.__closure__[0].cell_contents.streaming)


# --- Retry-After


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("40", 40, 50),
        ("40.5", 40.5, 50),
        ("an hour", 1, 3),
        ("999999", 300, 370),
        ("-3", 1, 3),
        (None, 1, 3),
    ],
)
async def test_retry_after_is_the_least_wait(api: Api, header: str | None, least: float, most: float) -> None:
    if isinstance(api.provider, FakeOpenAI):
        pytest.skip("the header does not depend on the API")
    outcome = await api.run(Status(429, retry_after=header), "there")
    assert outcome.text == "there"
    assert outcome.step.duration is not None
    # The upper bound tells waits apart; it leaves a slow machine half a minute.
    assert timedelta(seconds=least) <= outcome.step.duration < timedelta(seconds=most + 30)


async def test_retry_after_may_be_a_date(api: Api) -> None:
    if isinstance(api.provider, FakeOpenAI):
        pytest.skip("the header does not depend on the API")
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    outcome = await api.run(Status(503, retry_after=date), "there")
    assert outcome.text == "there"
    assert outcome.step.duration is not None
    assert outcome.step.duration > timedelta(seconds=60)
