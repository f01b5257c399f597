"""Trying plan after plan against the undisturbed run.

Side: testing. First the undisturbed run, twice: it tells the places and the result. A plan of several faults that fails is
shrunk to the smallest that still does.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from perdure.testing.faults.checks import Baseline, Violation, left_without_undo, verdict_on, violations
from perdure.testing.faults.ending import Ending
from perdure.testing.faults.plan import Fault, Plan, Points, chosen, pairs
from perdure.testing.faults.record import Record
from perdure.testing.faults.report import Report, Tried

__all__ = ["Exploration", "Trial"]


@dataclass(frozen=True)
class Trial:
    """One run under one plan, before it is judged. `found` is what is wrong whatever the undisturbed run did."""

    plan: Plan
    ending: Ending
    record: Record
    found: tuple[Violation, ...]
    missed: bool
    took: timedelta

    def judged(self, baseline: Baseline) -> Tried:
        found = (*violations(self.plan, self.ending, self.record, baseline), *self.found)
        return Tried(
            self.plan,
            verdict_on(self.ending, baseline),
            found,
            missed=self.missed,
            repeated=self.record.repeated,
            kept=left_without_undo(self.ending, self.record),
            took=self.took,
        )


@dataclass
class Exploration:
    """`run` makes one run under a plan. `records` are of the runs so far."""

    run: Callable[[Plan], Awaitable[Trial]]
    report: Report
    on_tried: Callable[[Tried], None]
    records: dict[Plan, Record] = field(default_factory=dict[Plan, Record])

    async def explore(
        self,
        points: Points,
        possible: Callable[[str], list[Fault]],
        *,
        depth: int = 1,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> Report:
        """All of it. `possible` tells the faults that can come at a place; `ready` is awaited after the undisturbed runs.

        Raises:
            ValueError: for text that is no plan.
        """
        chosen(points, [], seed=0)  # before it takes its time
        baseline = await self._baseline()
        if baseline is None:
            return self.report
        if ready is not None:
            await ready()
        singles = [Plan((fault,)) for place in baseline.record.places for fault in possible(place)]
        self.report.points = len(singles)
        plans = chosen(points, singles, seed=self.report.seed)
        for plan in plans:
            await self._attempt(plan, baseline)
        for plan in self._deeper(plans) if depth > 1 else ():
            await self._attempt(plan, baseline)
        return self.report

    async def _baseline(self) -> Baseline | None:
        """The undisturbed run, twice; `None`, with the report's problem, when it tells nothing."""
        first, again = await self.run(Plan()), await self.run(Plan())
        baseline = Baseline(first.ending, first.record, again.ending)
        self.report.undisturbed = _told(first.ending)
        self.report.performed = first.record.performed
        self.report.effects = bool(first.record.of("effect"))
        for trial in (first, again):
            self._add(trial.judged(baseline))
        if not first.record.performed:
            self.report.problem = f"the undisturbed run did nothing ({_told(first.ending)})"
        elif again.ending.status != first.ending.status:
            told = f"{_told(first.ending)}; {_told(again.ending)}"
            self.report.problem = f"two undisturbed runs do not end alike ({told})"
        return None if self.report.problem else baseline

    async def _attempt(self, plan: Plan, baseline: Baseline) -> None:
        """One plan, and smaller ones if it fails."""
        trial = await self.run(plan)
        self.records[plan] = trial.record
        tried = trial.judged(baseline)
        if tried.violations and len(plan.faults) > 1:
            tried = replace(tried, smallest=await self._shrink(plan, baseline))
        self._add(tried)

    def _deeper(self, plans: Sequence[Plan]) -> list[Plan]:
        """One pair for each plan of one fault, its second fault drawn from what came after the first."""
        drawn = random.Random(self.report.seed)
        return [
            drawn.choice(pairs(plan.faults[0], later))
            for plan in plans
            if len(plan.faults) == 1 and (later := self.records[plan].after(plan.faults[0].place))
        ]

    async def _shrink(self, plan: Plan, baseline: Baseline) -> Plan:
        for fault in plan.faults:
            fewer = plan.without(fault)
            if fewer.faults and (await self.run(fewer)).judged(baseline).violations:
                return await self._shrink(fewer, baseline)
        return plan

    def _add(self, tried: Tried) -> None:
        self.report.tried.append(tried)
        self.on_tried(tried)


def _told(ending: Ending) -> str:
    return f"{ending.status}: {ending.failure}" if ending.failure else ending.status
