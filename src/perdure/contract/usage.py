"""What a run used: model calls with their tokens, tool calls, money.

Side: contract. An attempt counts, the workflow adds up. Counted are the model calls that were made, also those that failed
and those of attempts that failed; an answer out of the journal is none. A tool call that is tried again counts once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["USED", "ModelUsage", "Usage", "total_usage", "usage_from"]

USED = "perdure-used"
"""Where the payload of a task's result says, in its metadata, what the task used: nobody need decode the result for it."""


@dataclass(frozen=True)
class ModelUsage:
    """Of one model. `money` in US dollars; `unpriced` is how many calls no price was known for."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: float = 0.0
    unpriced: int = 0


@dataclass(frozen=True)
class Usage:
    """`models` by the name that answered; `tools` counts tool calls by name and digest of the arguments ("search:1f0a")."""

    models: dict[str, ModelUsage] = field(default_factory=dict[str, ModelUsage])
    tools: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def model_calls(self) -> int:
        return sum(model.calls for model in self.models.values())

    @property
    def input_tokens(self) -> int:
        return sum(model.input_tokens for model in self.models.values())

    @property
    def output_tokens(self) -> int:
        return sum(model.output_tokens for model in self.models.values())

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def money(self) -> float:
        return sum(model.money for model in self.models.values())

    @property
    def unpriced(self) -> int:
        return sum(model.unpriced for model in self.models.values())

    @property
    def tool_calls(self) -> int:
        return sum(self.tools.values())

    def told(self) -> dict[str, Any]:
        """As plain data; empty parts are left out. `usage_from` reads it."""
        models = {
            name: {key: value for key, value in vars(model).items() if value}
            for name, model in self.models.items()
        }
        return {key: value for key, value in (("models", models), ("tools", self.tools)) if value}


def usage_from(told: Any) -> Usage:
    """What `Usage.told` gave; empty for anything else."""
    if not isinstance(told, dict):
        return Usage()
    models = {name: ModelUsage(**fields) for name, fields in told.get("models", {}).items()}
    return Usage(models, dict(told.get("tools", {})))


def total_usage(parts: Iterable[Usage]) -> Usage:
    models: dict[str, ModelUsage] = {}
    tools: dict[str, int] = {}
    for part in parts:
        for name, model in part.models.items():
            known = models.get(name, ModelUsage())
            models[name] = ModelUsage(**{key: value + vars(known)[key] for key, value in vars(model).items()})
        for name, count in part.tools.items():
            tools[name] = tools.get(name, 0) + count
    return Usage(models, tools)
