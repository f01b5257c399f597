"""The interrupts of a run that wait for an answer, and the answers that came.

Side: workflow. A plain class: no server needed to test it.

Rules: an answer names interrupts that wait now; each is answered once; a run goes on as soon as one answer is there
(the other interrupts are raised again by LangGraph, with the same ids, and keep their deadlines).

| the interrupt's value is               | when nobody answers                                                         |
|----------------------------------------|-----------------------------------------------------------------------------|
| a mapping with `expires_in` (seconds)  | its `on_expiry` is the answer, or `{"type": "expired"}`                     |
| a mapping with `expires_in: None`      | it waits for ever                                                           |
| anything else                          | after `timeout` the run fails: a graph could take an answer that it does not know for a yes |
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from langgraph.types import Interrupt
from temporalio import workflow

from perdure.contract.thread import PendingInterrupt
from perdure.errors import ApprovalExpired, InterruptUnknown

__all__ = ["BREAKPOINT", "Interrupts"]

BREAKPOINT = "breakpoint:"
"""Prefix of the ids of `interrupt_before`/`interrupt_after` stops; any answer lets the run go on."""

_ID = re.compile(r"[0-9a-f]{32}")


class Interrupts:
    """`asking` tells that the run has come to rest and cannot go on without an answer. `timeout`: seconds that a question has
    which names no deadline. `answered_by`: the `traceparent` of the latest answer."""

    def __init__(self, pending: list[PendingInterrupt], answers: dict[str, Any], *, asking: bool) -> None:
        self._pending = {item.id: item for item in pending}
        self._answers = dict(answers)
        self.asking = asking
        self.timeout: float | None = None
        self._posed: set[str] = set()
        self.answered_by = ""

    @property
    def pending(self) -> list[PendingInterrupt]:
        """All that the run has asked and not yet been told, oldest first."""
        return list(self._pending.values())

    @property
    def waiting(self) -> list[PendingInterrupt]:
        """Those without an answer yet, oldest first."""
        return [item for item in self._pending.values() if item.id not in self._answers]

    @property
    def posed(self) -> bool:
        """Whether a question of ours waits, while its run goes on."""
        return not self._posed.isdisjoint(item.id for item in self.waiting)

    @property
    def answers(self) -> dict[str, Any]:
        return dict(self._answers)

    def open(self, snapshot: Any, now: float, asked: Iterable[Interrupt] = ()) -> None:
        """Take over what a graph's state snapshot says is waiting, and what it `asked` besides: the snapshot knows nothing
        of error handlers. Known ids keep their times and answers."""
        found: dict[str, PendingInterrupt] = {}
        for task in snapshot.tasks:
            for item in task.interrupts:
                found[item.id] = self._pending.get(item.id) or self._new(item.id, item.value, task.name, now)
        for item in asked:
            if item.id not in found:
                node = snapshot.next[0] if snapshot.next else ""
                found[item.id] = self._pending.get(item.id) or self._new(item.id, item.value, node, now)
        if not found and snapshot.next:
            name = BREAKPOINT + str(snapshot.config["configurable"]["checkpoint_id"])
            found[name] = self._new(name, {"breakpoint": list(snapshot.next)}, snapshot.next[0], now)
        self._pending = found
        self._answers = {key: value for key, value in self._answers.items() if key in found}
        self.asking = bool(found)

    def overdue(self, now: float) -> bool:
        """Whether a deadline has passed of one that waits."""
        return any(item.expires_at is not None and item.expires_at <= now for item in self.waiting)

    def ask(self, items: list[PendingInterrupt]) -> None:
        """Questions that are not the graph's. Those asked before keep their times."""
        self._pending = {item.id: replace(item, created_at=self._created(item)) for item in items}
        self._posed = set(self._pending)
        self._answers = {}
        self.asking = True

    def pose(self, item: PendingInterrupt, now: float) -> None:
        """One question of ours beside whatever else waits, while the run goes on elsewhere. Posed again it keeps its times."""
        known = self._pending.get(item.id)
        self._posed.add(item.id)
        self._pending[item.id] = known or self._new(item.id, item.value, item.node, now)

    async def answer_to(self, id: str) -> Any:
        """The answer to a question that was posed; `None` when its time is over."""
        until = self._pending[id].expires_at
        timeout = None if until is None else timedelta(seconds=max(0.0, until - workflow.time()))
        try:
            await workflow.wait_condition(
                lambda: id in self._answers, timeout=timeout, timeout_summary="deadline of the question"
            )
        except TimeoutError:
            return None
        return self._answers[id]

    def drop(self, id: str) -> None:
        self._pending.pop(id, None)
        self._answers.pop(id, None)
        self._posed.discard(id)

    def clear(self) -> None:
        self._pending = {}
        self._answers = {}
        self.asking = False

    def check(self, value: Any) -> None:
        """Refuse an answer that fits nothing that waits.

        Raises:
            InterruptUnknown: naming the id, and what does wait.
        """
        self._by_id(value)

    def resume(self, value: Any) -> dict[str, Any] | None:
        """Take the answers that another run brings; as `take`. Raises InterruptUnknown as `check` does."""
        self._answers = self._by_id(value)
        return self.take()

    def accept(self, value: Any, trace: str = "") -> list[str]:
        """Keep the answers; returns the ids that they answered."""
        answers = self._by_id(value)
        self.answered_by = trace
        self._answers.update(answers)
        return list(answers)

    def expire(self, now: float) -> None:
        """Answer everything whose deadline has passed.

        Raises:
            ApprovalExpired: when it is one without an answer for that.
        """
        for item in self.waiting:
            if item.expires_at is None or item.expires_at > now:
                continue
            if item.fails:
                waited = timedelta(seconds=round(item.expires_at - item.created_at))
                raise ApprovalExpired(f"nobody has answered what node {item.node!r} asked within {waited}")
            self._answers[item.id] = item.on_expiry

    def next_deadline(self) -> float | None:
        """Seconds since the epoch of the earliest deadline among those that wait."""
        return min((item.expires_at for item in self.waiting if item.expires_at is not None), default=None)

    def take(self) -> dict[str, Any] | None:
        """The answers, for LangGraph's `Command(resume=...)`; `None` when the run only has to go on.

        What is still unanswered goes on waiting: LangGraph raises it again under the same id.
        """
        answers, self._answers = self._answers, {}
        self._pending = {key: item for key, item in self._pending.items() if key not in answers}
        self.asking = False
        return {key: value for key, value in answers.items() if not key.startswith(BREAKPOINT)} or None

    def _new(self, id: str, value: Any, node: str, now: float) -> PendingInterrupt:
        if self.timeout is None or (isinstance(value, dict) and "expires_in" in value):
            return _pending(id, value, node, now)
        return PendingInterrupt(
            id=id, value=value, node=node, created_at=now, expires_at=now + self.timeout, fails=True
        )

    def _created(self, item: PendingInterrupt) -> float:
        known = self._pending.get(item.id)
        return item.created_at if known is None else known.created_at

    def _by_id(self, value: Any) -> dict[str, Any]:
        waiting = {item.id for item in self.waiting}
        if not waiting:
            raise InterruptUnknown(
                "nothing waits for an answer in this thread (it was answered, or has not asked yet)"
            )
        if isinstance(value, dict) and value and all(isinstance(k, str) for k in value):
            named = [k for k in value if k in waiting or k.startswith(BREAKPOINT) or _ID.fullmatch(k)]
            if unknown := [k for k in named if k not in waiting]:
                raise InterruptUnknown(
                    f"no interrupt {unknown[0]!r} waits in this thread; waiting: {', '.join(sorted(waiting))}"
                )
            if len(named) == len(value):
                return dict(value)
        if len(waiting) > 1:
            raise InterruptUnknown(
                f"{len(waiting)} interrupts wait: answer with a mapping from id to answer; "
                f"waiting: {', '.join(sorted(waiting))}"
            )
        return {next(iter(waiting)): value}


def _pending(id: str, value: Any, node: str, now: float) -> PendingInterrupt:
    expires_in = value.get("expires_in") if isinstance(value, dict) else None
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float)):
        return PendingInterrupt(id=id, value=value, node=node, created_at=now)
    return PendingInterrupt(
        id=id,
        value=value,
        node=node,
        created_at=now,
        expires_at=now + max(0.0, float(expires_in)),
        on_expiry=value.get("on_expiry", {"type": "expired"}),
    )
