"""What a run, or a thread, may use, and what is left of it.

Side: contract. A budget is a promise about what is *not* begun any more: the model or tool call that would go beyond it.
How much one call takes is known when it ends, so tokens and money can be overdrawn by the calls under way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Literal

from perdure.contract.usage import Usage

__all__ = ["Budget", "BudgetBook", "BudgetLeft", "OnExhausted"]

OnExhausted = Literal["stop", "ask"]
_KINDS: dict[str, tuple[Any, str]] = {
    "money": ((int, float), "number"),
    "wall_time": (timedelta, "timedelta"),
}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be used; `None` is no limit.

        await client.start("agent", {...}, budget=Budget(tokens=200_000, money=1.50, on_exhausted="ask"))

    Args:
        tokens: input and output tokens of all models together.
        money: US dollars, by the prices that the package `genai-prices` knows (extra `perdure[prices]`). A call of a model
            without a known price is not made then.
        model_calls: calls of models, also those that fail.
        tool_calls: calls of tools; one that is tried again is one call.
        wall_time: while it runs. Waiting for a person is free.
        identical_calls: how often one tool may be called with the same arguments.
        on_exhausted: "stop" ends the run with `BudgetExhausted` and undoes its effects; "ask" asks a person first, who may
            raise the budget.

    Raises:
        ValueError: for a value that could never work, naming the option.
    """

    tokens: int | None = None
    money: float | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    wall_time: timedelta | None = None
    identical_calls: int | None = None
    on_exhausted: OnExhausted = "stop"

    def __post_init__(self) -> None:
        for item in fields(self):
            value: Any = getattr(self, item.name)
            if item.name == "on_exhausted" or value is None:
                continue
            kind, wanted = _KINDS.get(item.name, (int, "whole number"))
            amount = value.total_seconds() if isinstance(value, timedelta) else value
            if not isinstance(value, kind) or isinstance(value, bool) or not 0 < amount < float("inf"):
                raise ValueError(f"Budget({item.name}=...) must be a {wanted} above zero, not {value!r}")
        if self.on_exhausted not in ("stop", "ask"):
            raise ValueError(f"Budget(on_exhausted=...) must be 'stop' or 'ask', not {self.on_exhausted!r}")


@dataclass(frozen=True)
class BudgetLeft:
    """What a node call may use, by limit ("tokens", "money", ...), and of which budget ("run", "thread") that is. `seen`
    counts the tool calls so far, where identical ones are limited."""

    limits: dict[str, float] = field(default_factory=dict[str, float])
    of: dict[str, str] = field(default_factory=dict[str, str])
    seen: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class BudgetBook:
    """What was used, and the budgets as they are by now, for the workflow run that goes on. `run` is the run's id;
    seconds are those that were run for."""

    run: str = ""
    run_usage: Usage = field(default_factory=Usage)
    run_seconds: float = 0.0
    run_budget: Budget | None = None
    thread_usage: Usage = field(default_factory=Usage)
    thread_seconds: float = 0.0
    thread_budget: Budget | None = None
    asked: int = 0
