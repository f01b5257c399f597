"""`structured`: answers that do not fit are asked again, within bounds, through the real clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import SystemMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from perdure import structured
from perdure.errors import OutputMalformed, OutputRefused, OutputTruncated, RunFailed
from perdure.testing import PerdureEnvironment
from perdure.testing.providers import FakeAnthropic, FakeOpenAI, Reply, Status, ToolCall

# The clients keep their connections, and with them the event loop.
one_loop = pytest.mark.asyncio(loop_scope="module")


class Ticket(BaseModel):
    """A ticket."""

    title: str
    priority: int


GOOD = [ToolCall("Ticket", {"title": "Printer", "priority": 2})]
WRONG = [ToolCall("Ticket", {"title": "Printer", "priority": "very"})]
TICKET = Ticket(title="Printer", priority=2)


@pytest.fixture(scope="module")
def first() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as provider:
        yield provider


@pytest.fixture(scope="module")
def second() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as provider:
        yield provider


def claude(provider: FakeAnthropic, **options: Any) -> ChatAnthropic:
    return ChatAnthropic(model="claude-sonnet-5", max_retries=0, **provider.options, **options)


def gpt(provider: FakeOpenAI, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4.1", max_retries=0, **provider.options, **options)


def test_a_good_answer_costs_one_call(first: FakeAnthropic) -> None:
    first.play([GOOD])
    assert structured(claude(first), Ticket).invoke("my printer is broken") == TICKET
    assert len(first.calls) == 1


def test_a_wrong_answer_is_asked_again_with_what_is_wrong(first: FakeAnthropic) -> None:
    first.play([WRONG, GOOD])
    asked = [SystemMessage("You sort tickets."), ("user", "my printer is broken")]
    assert structured(claude(first), Ticket).invoke(asked) == TICKET
    again = first.calls[1].last_text
    assert "'priority': 'very'" in again
    assert "priority: Input should be a valid integer" in again
    assert first.calls[1].body["system"] == first.calls[0].body["system"]


@one_loop
async def test_arguments_that_are_no_json_and_no_call_at_all_are_asked_again(second: FakeOpenAI) -> None:
    second.play([[ToolCall("Ticket", '{"title": ')], "I would rather chat", Reply(), GOOD])
    assert await structured(gpt(second), Ticket, repairs=3).ainvoke("hi") == TICKET
    assert "I would rather chat" in second.calls[2].last_text
    assert len(second.calls) == 4


def test_after_the_repairs_it_fails_and_keeps_the_last_answer(first: FakeAnthropic) -> None:
    first.play([WRONG, WRONG, "no", GOOD])
    with pytest.raises(OutputMalformed, match="no usable 'Ticket' in 3 answers") as caught:
        structured(claude(first), Ticket, repairs=2).invoke("hi")
    assert caught.value.output == "no"
    assert len(first.calls) == 3


@one_loop
async def test_the_fallback_is_asked_anew_when_the_repairs_are_used_up(
    first: FakeAnthropic, second: FakeOpenAI
) -> None:
    first.play([WRONG, WRONG])
    second.play([WRONG, GOOD])
    ask = structured(claude(first), Ticket, repairs=1, fallback=gpt(second))
    assert await ask.ainvoke("my printer") == TICKET
    assert (len(first.calls), len(second.calls)) == (2, 2)
    assert second.calls[0].last_text == "my printer"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(tools=WRONG, stop="max_tokens"), OutputTruncated),
        (Reply(tools=GOOD, stop="max_tokens"), OutputTruncated),
        (Reply("I will not", stop="refusal"), OutputRefused),
    ],
)
def test_what_a_repair_cannot_help_goes_to_the_fallback_or_fails_at_once(
    first: FakeAnthropic, second: FakeOpenAI, reply: Reply, error: type[Exception]
) -> None:
    first.play([reply])
    with pytest.raises(error):
        structured(claude(first), Ticket).invoke("hi")
    first.play([reply])
    second.play([GOOD])
    assert structured(claude(first), Ticket, fallback=gpt(second)).invoke("hi") == TICKET
    assert len(first.calls) == 1


def test_another_method_may_be_chosen(second: FakeOpenAI) -> None:
    second.play([Reply('{"title": "Printer"}'), Reply('{"title": "Printer", "priority": 2}')])
    assert structured(gpt(second), Ticket, method="json_schema").invoke("hi") == TICKET
    assert "priority: Field required" in second.calls[1].last_text


def test_a_failure_of_the_connection_is_raised_as_it_is(first: FakeAnthropic) -> None:
    first.play([Status(503), GOOD])
    with pytest.raises(anthropic.InternalServerError):
        structured(claude(first), Ticket).invoke("hi")
    assert len(first.calls) == 1


def test_a_negative_number_of_repairs_is_refused(first: FakeAnthropic) -> None:
    with pytest.raises(ValueError, match="repairs"):
        structured(claude(first), Ticket, repairs=-1)


class State(TypedDict):
    ticket: Ticket | None


@one_loop
async def test_in_a_node_repairs_and_retries_are_counted_apart(first: FakeAnthropic) -> None:
    model = claude(first)

    async def sort(state: State) -> State:
        return {"ticket": await structured(model, Ticket, repairs=1).ainvoke("my printer is broken")}

    builder = StateGraph(State)
    builder.add_node("sort", sort)
    builder.add_edge(START, "sort")
    async with PerdureEnvironment.start({"g": builder.compile()}) as env:
        # The first answer is not asked for again after the failure of the second call.
        first.play([WRONG, Status(503), GOOD])
        assert await (await env.start("g", {"ticket": None})).result() == {"ticket": TICKET}
        assert len(first.calls) == 3
        first.play([WRONG, WRONG, GOOD])
        with pytest.raises(RunFailed) as caught:
            await (await env.start("g", {"ticket": None})).result()
        assert (caught.value.cause_type, len(first.calls)) == ("OutputMalformed", 2)
        assert "very" in caught.value.details["output"]
