"""`same`: the same graph, natively and through Perdure; `durably`: through Perdure alone. Both replay at every task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel import Pregel
from langgraph.types import Command

from perdure.errors import RunFailed
from perdure.testing import PerdureEnvironment

MOST_STOPS = 10

Answer = Callable[[Any], Any]


async def run_durably(
    make: Any,
    input: Any,
    *,
    answer: Answer | None = None,
    context: Any = None,
    config: Any = None,
    questions: list[Any] | None = None,
    **environment: Any,
) -> Any:
    graph = make if isinstance(make, Pregel) else make()
    if answer is not None and environment.get("carry_every"):
        # The time-skipping server may lose the task of an answer that arrives while its thread continues as new.
        environment["time_skipping"] = False
    async with PerdureEnvironment.start({"g": graph}, **environment) as env:
        run = await env.start("g", input, config=config, context=context)
        for _ in range(MOST_STOPS if answer else 0):
            items = await run.wait_for_approvals()
            if not items or answer is None:
                break
            if questions is not None:
                questions.append(sorted((item.value for item in items), key=repr))
            await run.resume({item.id: answer(item.value) for item in items})
        return await run.result()


async def run_natively(
    make: Any, input: Any, *, answer: Answer | None, context: Any, config: Any, questions: list[Any]
) -> Any:
    graph = make if isinstance(make, Pregel) else make()
    if answer is None:
        return await graph.ainvoke(input, config, context=context)
    graph = graph.copy({"checkpointer": InMemorySaver()})
    config = {**(config or {}), "configurable": {**(config or {}).get("configurable", {}), "thread_id": "1"}}
    result = await graph.ainvoke(input, config, context=context)
    while stops := result.pop("__interrupt__", ()):
        questions.append(sorted((stop.value for stop in stops), key=repr))
        resume = {stop.id: answer(stop.value) for stop in stops}
        result = await graph.ainvoke(Command(resume=resume), config, context=context)
    return result


def plain(value: Any) -> Any:
    """The value with messages by content: their ids are random in a native run."""
    if isinstance(value, BaseMessage):
        fields = {name: item for name, item in vars(value).items() if name != "id"}
        return {"message": type(value).__name__, **{name: plain(item) for name, item in fields.items()}}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


@pytest.fixture
def durably() -> Callable[..., Awaitable[Any]]:
    """Run a graph, or what a function makes, through Perdure; `answer` gives the answer to an interrupt's value."""
    return run_durably


@pytest.fixture
def same() -> Callable[..., Awaitable[Any]]:
    """As `durably`, and natively before: same values, same questions, same type of error (which is then returned).

    `see` is what of the values is compared.
    """

    async def run(
        make: Any,
        input: Any,
        *,
        answer: Answer | None = None,
        context: Any = None,
        config: Any = None,
        see: Callable[[Any], Any] = plain,
        **environment: Any,
    ) -> Any:
        asked: list[Any] = []
        ours: list[Any] = []
        options: dict[str, Any] = {"answer": answer, "context": context, "config": config}
        native, failure = None, None
        try:
            native = await run_natively(make, input, questions=asked, **options)
        except Exception as error:
            failure = error
        if failure is not None:
            with pytest.raises(RunFailed) as caught:
                await run_durably(make, input, questions=ours, **options, **environment)
            assert (caught.value.cause_type, ours) == (type(failure).__name__, asked)
            return caught.value
        durable = await run_durably(make, input, questions=ours, **options, **environment)
        assert (see(durable), ours) == (see(native), asked)
        return durable

    return run
