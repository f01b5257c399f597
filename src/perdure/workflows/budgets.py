"""The budgets of a run and of its thread: what was used, what is left, and what happens when nothing is.

Side: workflow. Model and tool calls are refused where they would be made, in the activity, by what was left when the node
call began: nodes that run at the same time do not know of each other. Wall time is looked at before each node call.

| `on_exhausted` | what happens                                                                                |
|----------------|---------------------------------------------------------------------------------------------|
| stop           | the run fails with `BudgetExhausted`                                                        |
| ask            | the node call waits for a person: when they raise the budget it is made again, with its journal |
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from temporalio import workflow

from perdure.contract.budget import Budget, BudgetBook, BudgetLeft
from perdure.contract.thread import PendingInterrupt, RunRequest, RunStatus
from perdure.contract.usage import Usage, total_usage
from perdure.errors import BudgetExhausted
from perdure.workflows.interrupts import Interrupts

__all__ = ["Budgets"]

_COUNTED = ("tokens", "money", "model_calls", "tool_calls")
_ANSWERS = (
    'answer "approve" (as much again), {"type": "raise", "tokens": 50000, ...} (so much more), or "reject"'
)
# Distinct tool calls that a thread remembers.
_MOST_TOOLS = 1000


@dataclass
class _Account:
    """Of the run or the thread. `granted` is the budget as it was given, `budget` as it is by now."""

    granted: Budget | None
    budget: Budget | None
    usage: Usage
    seconds: float


class Budgets:
    """One per thread. `interrupts` and `set_status` are the thread's, to ask through. `raised` counts how often a person has
    raised a budget."""

    def __init__(
        self,
        book: BudgetBook | None,
        thread_budget: Budget | None,
        interrupts: Interrupts,
        *,
        set_status: Callable[[RunStatus], None],
    ) -> None:
        book = book or BudgetBook()
        self.raised = 0
        self.on_spent: Callable[[Usage], None] | None = None
        self._run_id = book.run
        self._asked = book.asked
        self._accounts = {
            "run": _Account(None, book.run_budget, book.run_usage, book.run_seconds),
            "thread": _Account(
                thread_budget,
                book.thread_budget or thread_budget,
                book.thread_usage,
                book.thread_seconds,
            ),
        }
        self._interrupts = interrupts
        self._set_status = set_status
        self._since: float | None = None
        self._asking = asyncio.Lock()

    def begin(self, request: RunRequest) -> None:
        """A run goes on: a new one with its own budget, or the one that the book is about."""
        self._clock()
        self._since = workflow.time()
        run = self._accounts["run"]
        if self._run_id != request.id:
            self._run_id = request.id
            run = self._accounts["run"] = _Account(None, request.budget, Usage(), 0.0)
        run.granted = request.budget

    @contextmanager
    def waiting(self) -> Generator[None]:
        """Waiting for a person costs no wall time."""
        self._clock()
        self._since = None
        try:
            yield
        finally:
            self._since = workflow.time()

    def spent(self, usage: Usage) -> None:
        if self.on_spent is not None:
            self.on_spent(usage)
        for account in self._accounts.values():
            account.usage = total_usage((account.usage, usage))

    def told(self) -> dict[str, Any]:
        """For who asks for the thread's state."""
        return {name: _told(account.usage) for name, account in self._accounts.items()}

    def left(self) -> BudgetLeft | None:
        """What the next node call may use; `None` where nothing limits it."""
        left = BudgetLeft()
        for of, account in self._accounts.items():
            if account.budget is None:
                continue
            for name in _COUNTED:
                allowed = getattr(account.budget, name, None)
                rest = None if allowed is None else allowed - getattr(account.usage, name)
                if rest is not None and rest < left.limits.get(name, float("inf")):
                    left.limits[name] = rest
                    left.of[name] = of
            most = account.budget.identical_calls
            if most is not None and "identical_calls" not in left.limits:
                left.limits["identical_calls"] = most
                left.of["identical_calls"] = of
                left.seen.update(account.usage.tools)
        return left if left.limits else None

    async def check_time(self) -> None:
        """Before a node call. Raises BudgetExhausted."""
        while (over := self._over_time()) is not None:
            await self.over(over, self.raised)

    async def over(self, exhausted: BudgetExhausted, raised: int) -> None:
        """Comes back when a person has raised the budget, since it was `raised` so often.

        Raises:
            BudgetExhausted: when nobody is to be asked, or they said no, or nothing in time.
        """
        async with self._asking:
            if raised != self.raised:
                return
            account = self._accounts[exhausted.of]
            error = self._exact(exhausted, account)
            if account.budget is None or account.budget.on_exhausted == "stop":
                raise error
            with self.waiting():
                more = await self._ask(error)
            if not more:
                raise error
            granted = account.granted or account.budget
            account.budget = _raised(account.budget, granted if more is True else more, error.limit)
            self.raised += 1

    def book(self, *, run: bool = True) -> BudgetBook:
        """To go on with in another workflow run; without the `run`, when that is to begin again."""
        self._clock()
        own, thread = self._accounts["run"], self._accounts["thread"]
        usage = thread.usage
        if thread.budget is None or thread.budget.identical_calls is None:
            names: dict[str, int] = {}
            for name, count in usage.tools.items():
                kind = name.partition(":")[0]
                names[kind] = names.get(kind, 0) + count
            usage = replace(usage, tools=names)
        elif len(usage.tools) > _MOST_TOOLS:
            usage = replace(usage, tools=dict(list(usage.tools.items())[-_MOST_TOOLS:]))
        book = BudgetBook(
            thread_usage=usage,
            thread_seconds=thread.seconds,
            thread_budget=thread.budget,
            asked=self._asked,
        )
        if not run:
            return book
        return replace(
            book, run=self._run_id, run_usage=own.usage, run_seconds=own.seconds, run_budget=own.budget
        )

    def _clock(self) -> None:
        if self._since is None:
            return
        now = workflow.time()
        for account in self._accounts.values():
            account.seconds += now - self._since
        self._since = now

    def _over_time(self) -> BudgetExhausted | None:
        self._clock()
        for of, account in self._accounts.items():
            allowed = account.budget.wall_time if account.budget is not None else None
            if allowed is not None and account.seconds >= allowed.total_seconds():
                return BudgetExhausted(limit="wall_time", of=of)
        return None

    @staticmethod
    def _exact(exhausted: BudgetExhausted, account: _Account) -> BudgetExhausted:
        """With the numbers of the account: the activity knows only what was left."""
        limit = exhausted.limit
        allowed = getattr(account.budget, limit, None)
        if isinstance(allowed, timedelta):
            used, allowed = account.seconds, allowed.total_seconds()
        elif limit == "identical_calls":
            used = allowed
        else:
            used = getattr(account.usage, limit)
        return BudgetExhausted(
            limit=limit, of=exhausted.of, used=used or 0, allowed=allowed or 0, what=exhausted.what
        )

    async def _ask(self, error: BudgetExhausted) -> Any:
        """What a person says: True (as much again), so much more by limit, or nothing."""
        self._asked += 1
        name = f"{workflow.info().workflow_id}/budget/{self._run_id}/{self._asked}"
        question = hashlib.sha256(name.encode()).hexdigest()[:32]
        value = {
            "question": f"{error} Raise it?",
            **error.facts,
            "answers": _ANSWERS,
            "options": ["approve", "reject"],
        }
        while True:
            item = PendingInterrupt(id=question, value=value, node="budget")
            self._interrupts.pose(item, workflow.time())
            self._set_status("interrupted")
            try:
                answer = await self._interrupts.answer_to(question)
            finally:
                self._interrupts.drop(question)
                self._set_status("running")
            match answer:
                case "approve" | True | {"type": "approve"}:
                    return True
                case {"type": "raise", **more} if _is_more(more):
                    return more
                case None | False | "reject" | {"type": "reject" | "expired"}:
                    return None
                case _:
                    pass  # asked again, with what an answer looks like


def _is_more(more: dict[str, Any]) -> bool:
    try:
        return bool(more) and Budget(**_times(more)) is not None
    except (TypeError, ValueError):
        return False


def _times(more: dict[str, Any]) -> dict[str, Any]:
    """Wall time in an answer is in seconds."""
    seconds = more.get("wall_time")
    return (
        more if not isinstance(seconds, (int, float)) else {**more, "wall_time": timedelta(seconds=seconds)}
    )


def _raised(budget: Budget, more: Budget | dict[str, Any], limit: str) -> Budget:
    if isinstance(more, Budget):
        return replace(budget, **{limit: getattr(budget, limit) + getattr(more, limit)})
    return replace(
        budget,
        **{
            name: getattr(budget, name) + value
            for name, value in _times(more).items()
            if getattr(budget, name, None) is not None and name != "on_exhausted"
        },
    )


def _told(usage: Usage) -> dict[str, Any]:
    return {
        "model_calls": usage.model_calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "money": round(usage.money, 9),
        "unpriced_calls": usage.unpriced,
        "tool_calls": usage.tool_calls,
        "models": usage.told().get("models", {}),
    }
