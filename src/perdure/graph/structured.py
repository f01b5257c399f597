"""`structured`: a model's answer in a schema, asked again with what was wrong with it.

Either side: it needs no Perdure around it. Repairs are made within one call of the Runnable, so within one attempt of a node;
failures of the connection are not repaired but raised, for whoever retries.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import ValidationError

from perdure.errors import ModelOutputError, OutputMalformed, OutputRefused, OutputTruncated
from perdure.graph.model_output import output_problem, output_text

__all__ = ["structured"]

T = TypeVar("T")

# What clients and parsers raise for an answer that they cannot read.
_UNREADABLE = (OutputParserException, ValidationError, ModelOutputError)
_HOPELESS = (OutputTruncated, OutputRefused)
_MOST_PROBLEM_CHARS = 2_000

_Course: TypeAlias = Generator[tuple[Runnable[Any, Any], list[BaseMessage]], Any, Any]


def structured(
    model: BaseChatModel,
    schema: type[T] | dict[str, Any],
    *,
    repairs: int = 2,
    fallback: BaseChatModel | None = None,
    **options: Any,
) -> Runnable[LanguageModelInput, T]:
    """A Runnable from a prompt to an instance of `schema`.

        ticket = await structured(model, Ticket, repairs=2, fallback=larger).ainvoke(messages)

    An answer that does not parse or validate is asked again, with the answer and what is wrong with it, up to `repairs` times;
    then `fallback`, if there is one, is asked likewise. An answer that was cut off or refused goes to the fallback at once.

    Args:
        schema: a Pydantic model, a `TypedDict` or a JSON schema.
        options: for `model.with_structured_output`, such as `method="json_schema"`; default: `method="function_calling"`,
            of which the raw answer is always there.

    Raises:
        OutputMalformed, OutputTruncated, OutputRefused: from a call, with the last answer as `.output`.
        ValueError: `repairs` is negative.
    """
    if repairs < 0:
        raise ValueError(f"structured(repairs=...) must be 0 or more, not {repairs!r}")
    options = options or {"method": "function_calling"}
    models = [model] if fallback is None else [model, fallback]
    chains = [each.with_structured_output(schema, include_raw=True, **options) for each in models]
    name = schema.get("title", "schema") if isinstance(schema, dict) else schema.__name__

    def invoke(input: LanguageModelInput) -> T:
        course = _course(chains, _messages(input), name, repairs)
        try:
            asked = next(course)
            while True:
                chain, messages = asked
                try:
                    answer: Any = chain.invoke(messages)
                except _UNREADABLE as error:
                    answer = error
                asked = course.send(answer)
        except StopIteration as end:
            return cast("T", end.value)

    async def ainvoke(input: LanguageModelInput) -> T:
        course = _course(chains, _messages(input), name, repairs)
        try:
            asked = next(course)
            while True:
                chain, messages = asked
                try:
                    answer: Any = await chain.ainvoke(messages)
                except _UNREADABLE as error:
                    answer = error
                asked = course.send(answer)
        except StopIteration as end:
            return cast("T", end.value)

    return RunnableLambda(invoke, ainvoke, name=f"structured {name}")


def _course(
    chains: Sequence[Runnable[Any, Any]], messages: list[BaseMessage], name: str, repairs: int
) -> _Course:
    """Yields whom to ask what, is sent the answer or what was raised, and returns what was parsed."""
    problem: ModelOutputError | None = None
    asked = 0
    for chain in chains:
        told = messages
        for _ in range(repairs + 1):
            answer = yield chain, told
            asked += 1
            problem = _problem(answer, name)
            if problem is None:
                return answer["parsed"]
            if isinstance(problem, _HOPELESS):
                break
            told = [*messages, _repair(problem)]
    assert problem is not None
    if isinstance(problem, _HOPELESS):
        raise problem
    raise OutputMalformed(f"no usable {name!r} in {asked} answers: {problem}", problem.output) from problem


def _problem(answer: Any, name: str) -> ModelOutputError | None:
    if isinstance(answer, ModelOutputError):
        return answer
    if isinstance(answer, Exception):
        output = getattr(answer, "llm_output", None)
        return OutputMalformed(_text(answer), output if isinstance(output, str) else "")
    raw = answer["raw"]
    said = output_text(raw) if isinstance(raw, AIMessage) else ""
    stopped = output_problem(raw) if isinstance(raw, AIMessage) else None
    if isinstance(stopped, _HOPELESS):
        return stopped
    if (error := answer["parsing_error"]) is not None:
        return OutputMalformed(_text(error), said)
    if answer["parsed"] is None:
        return stopped or OutputMalformed(f"it does not call {name!r}", said)
    return None


def _repair(problem: ModelOutputError) -> HumanMessage:
    said = f"You answered:\n{problem.output}\n\n" if problem.output else ""
    return HumanMessage(
        f"{said}That answer cannot be used: {str(problem)[:_MOST_PROBLEM_CHARS]}\n\nAnswer again, completely and in the "
        "required form."
    )


def _text(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        places = ((".".join(map(str, each["loc"])), each["msg"]) for each in error.errors())
        return "; ".join(f"{place}: {text}" if place else text for place, text in places)
    return str(error)


def _messages(input: LanguageModelInput) -> list[BaseMessage]:
    if isinstance(input, str):
        return [HumanMessage(input)]
    if isinstance(input, PromptValue):
        return input.to_messages()
    return convert_to_messages(input)
