"""What a worker's owner decides about all node calls. Side: activities."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.contract.policy import ModelOutput
from perdure.contract.verdict import Classify

__all__ = ["ActivitySettings"]


@dataclass(frozen=True)
class ActivitySettings:
    """`classify` is asked before the table of failures; `model_output` is for nodes that do not say it themselves;
    `client_retries` lets provider clients retry by themselves."""

    classify: Classify | None = None
    model_output: ModelOutput = "any"
    client_retries: bool = False
