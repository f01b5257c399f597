"""What the demo has shown, and whether that is what it promises. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from faults.agent import PAGES, TOTAL
from faults.bad_day import EVERY, FAULTS
from perdure.cli.story import Step
from perdure.testing.providers import Call, Reply

__all__ = ["Row", "Summary"]

_TOLD = "the model was told, and put it right"


@dataclass(frozen=True)
class Row:
    """One fault: at which call, what became of it, and whether a real provider would have sent a bill."""

    call: int
    fault: str
    became: str
    paid: bool


@dataclass(frozen=True)
class Summary:
    """A told story.

    Attributes:
        answer: the agent's last message.
        rows: the faults, in order.
        calls, paid: how many calls reached the provider, and how many it would have sent a bill for.
        steps: the agent's node calls.
        seconds: all of it.
    """

    answer: str
    rows: tuple[Row, ...]
    calls: int
    paid: int
    steps: int
    seconds: float

    @classmethod
    def of(cls, answer: str, calls: Sequence[Call], steps: Sequence[Step], seconds: float) -> Self:
        kinds = iter([kind for step in steps for kind in step.failures])
        return cls(
            answer=answer,
            rows=tuple(_rows(calls, kinds)),
            calls=len(calls),
            paid=sum(call.paid for call in calls),
            steps=len(steps),
            seconds=seconds,
        )

    @property
    def needed(self) -> int:
        """How many answers the agent needs: one for each page, and the last."""
        return len(PAGES) + 1

    @property
    def problems(self) -> list[str]:
        """Promises that were not kept; empty if all went well."""
        found: list[str] = []
        if self.answer != f"The pages come to {TOTAL}.":
            found.append(f"the agent says {self.answer!r}, and the pages come to {TOTAL}")
        if [row.fault for row in self.rows] != [name for name, _ in FAULTS]:
            found.append(f"{len(self.rows)} of {len(FAULTS)} faults were met")
        if self.calls != self.needed + len(FAULTS):
            found.append(f"{self.calls} calls were made, not {self.needed} and one for each fault")
        if missing := [row.fault for row in self.rows if not row.became]:
            found.append(f"nothing is recorded of: {', '.join(missing)}")
        return found

    def as_json(self) -> dict[str, Any]:
        """For programs; one line of JSON."""
        return {**asdict(self), "needed": self.needed, "problems": self.problems}


def _rows(calls: Sequence[Call], kinds: Iterator[str]) -> Iterator[Row]:
    for place, (name, fault) in enumerate(FAULTS, 1):
        number = EVERY * place
        if number > len(calls):
            return
        told = isinstance(fault, Reply) and bool(fault.tools)
        kind = "" if told else next(kinds, "")
        became = _TOLD if told else f"{kind}: tried again" if kind else ""
        yield Row(number, name, became, calls[number - 1].paid)
