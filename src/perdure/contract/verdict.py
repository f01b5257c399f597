"""What a failure means for the next attempt. Side: contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

__all__ = ["Classify", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """What a failure means for the next attempt."""

    retry: bool
    """Whether another attempt may succeed."""
    after: timedelta | None = None
    """The earliest time for it that the other side asked for; `None`: the retry policy's own interval."""
    kind: str = "declared"
    """The failure's class: a row of the table in `docs/retries.md`, or a word of your own."""
    status: int | None = None
    """The numeric answer (HTTP or SMTP), where there was one."""


Classify: TypeAlias = Callable[[BaseException], Verdict | None]
"""A project's own part of the table: asked first, `None` for what it does not know."""
