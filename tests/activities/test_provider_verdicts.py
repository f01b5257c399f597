"""The table of failures against what the real clients raise, in every way of asking: streamed or not, sync or async."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, field_validator

from perdure.activities.failures import classify, describe
from perdure.testing.providers import Broken, FakeAnthropic, FakeOpenAI, Reply, Reset, Stall, Status, ToolCall

# The clients keep their connections, and with them the event loop.
one_loop = pytest.mark.asyncio(loop_scope="module")


class Point(BaseModel):
    """A point in the upper half."""

    x: int
    y: int

    @field_validator("y")
    @classmethod
    def not_below(cls, value: int) -> int:
        if value < 0:
            raise ValueError("y must not be negative")
        return value


class Asked:
    """A model of one of the APIs and its provider."""

    def __init__(self, provider: FakeAnthropic | FakeOpenAI, *, streaming: bool) -> None:
        self.provider = provider
        self.streaming = streaming

    def model(self, **options: Any) -> BaseChatModel:
        settings = {
            "max_retries": 0,
            "timeout": 20,
            "streaming": self.streaming,
            **self.provider.options,
            **options,
        }
        if isinstance(self.provider, FakeAnthropic):
            return ChatAnthropic(model="claude-sonnet-5", **settings)
        return ChatOpenAI(model="gpt-4.1", **settings)

    async def kinds(self, runnable: Any, item: Any) -> set[str]:
        """How the failure is called, whichever way the model is asked."""
        self.provider.play([item, item])
        kinds = set[str]()
        for ask in (runnable.invoke, runnable.ainvoke):
            try:
                result = ask("hi")
                await result if ask == runnable.ainvoke else None
            except Exception as error:
                kinds.add(classify(error).kind)
            else:
                kinds.add("nothing was raised")
        return kinds


@pytest.fixture(scope="module", params=["anthropic", "anthropic, streamed", "openai", "openai, streamed"])
def asked(request: pytest.FixtureRequest) -> Iterator[Asked]:
    name, _, streamed = request.param.partition(", ")
    with FakeAnthropic() if name == "anthropic" else FakeOpenAI() as provider:
        yield Asked(provider, streaming=bool(streamed))


@one_loop
async def test_answers_with_a_status(asked: Asked) -> None:
    kinds = {
        400: "bad_request",
        401: "auth",
        403: "auth",
        404: "not_found",
        408: "timeout",
        409: "conflict",
        413: "bad_request",
        429: "rate_limited",
        500: "server_error",
        503: "overloaded",
        529: "overloaded",
    }
    found = {code: await asked.kinds(asked.model(), Status(code)) for code in kinds}
    assert found == {code: {kind} for code, kind in kinds.items()}


@pytest.mark.parametrize("after", [None, 3])
@one_loop
async def test_broken_connections(asked: Asked, after: int | None) -> None:
    assert await asked.kinds(asked.model(), Reset(after=after)) == {"connection"}
    assert await asked.kinds(asked.model(timeout=0.3), Stall(after=after)) == {"timeout"}


@one_loop
async def test_answers_that_are_not_the_apis(asked: Asked) -> None:
    assert await asked.kinds(asked.model(), Broken("json")) == {"malformed_output"}
    assert await asked.kinds(asked.model(), Broken("html")) == {"malformed_output"}
    kinds = await asked.kinds(asked.model(), Broken("error"))
    assert kinds == {"overloaded" if asked.streaming else "malformed_output"}


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
@one_loop
async def test_answers_that_do_not_fit_a_schema(asked: Asked, method: Any) -> None:
    structured = asked.model().with_structured_output(Point, method=method)
    for text in ('{"x": 1, "y": "no"}', '{"x": 1}', '{"x": 1, "y": -1}', '{"x": 1, '):
        if method == "function_calling" and text.endswith(", "):
            continue  # some clients then say that no tool was called, and others make it whole
        item = [ToolCall("Point", text)] if method == "function_calling" else Reply(text)
        assert await asked.kinds(structured, item) == {"malformed_output"}, text


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
@one_loop
async def test_answers_that_are_no_json(asked: Asked, method: Any) -> None:
    structured = asked.model().with_structured_output(Point, method=method)
    assert await asked.kinds(structured, Reply("I would rather not")) == {"malformed_output"}
    assert await asked.kinds(structured, Reply("")) == {"malformed_output"}
    cut = await asked.kinds(structured, Reply("cut", stop="max_tokens"))
    assert cut <= {"malformed_output", "truncated_output"}
    refused = await asked.kinds(structured, Reply("no", stop="refusal"))
    assert refused <= {"malformed_output", "refused_output"}


def test_a_key_that_is_none_is_no_failed_connection(asked: Asked) -> None:
    with pytest.raises(Exception, match="Connection error") as caught:
        asked.model(api_key="a key\nwith a line break").invoke("hi")
    assert classify(caught.value).kind == "programming"
    assert "Illegal header value" in describe(caught.value)
    assert "a key" not in describe(caught.value)


def test_a_wrong_question_is_the_codes_mistake(asked: Asked) -> None:
    with pytest.raises(ValueError, match="Invalid input type") as caught:
        asked.model().invoke(cast("Any", 42))
    assert classify(caught.value).kind == "programming"


def test_a_mistake_in_the_users_own_code_stays_one() -> None:
    def wrong(value: Any) -> Any:
        return Point(x=value, y=value)

    with pytest.raises(ValueError, match="x") as caught:
        wrong("no")
    assert classify(caught.value).kind == "programming"
