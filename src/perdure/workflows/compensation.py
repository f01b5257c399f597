"""The end of a run that did things to the world and did not end well: taking them back.

Side: workflow. Undos run newest first, one failing does not stop the others, no cancellation stops any. What cannot be
undone is put to a person, who tells to try again or closes it with a reason; until then the thread waits.

| outcome                   | meaning                                          |
|---------------------------|--------------------------------------------------|
| (none)                    | there was nothing to undo                        |
| `compensated`             | everything was undone                            |
| `compensation_incomplete` | a person has closed what could not be undone     |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from temporalio import workflow

from perdure.contract.effect import EffectEntry
from perdure.contract.thread import PendingInterrupt, RunStatus
from perdure.workflows.interrupts import Interrupts
from perdure.workflows.node_calls import NodeCalls
from perdure.workflows.saga import shielded

__all__ = ["Compensated", "Compensation"]

Compensated = Literal["", "compensated", "compensation_incomplete"]

_PROBLEM = 'answer "retry", or {"type": "close", "reason": "what you did about it"}'


class Compensation:
    """`outcome` is that of the last run that needed it; `wanted` is off when whoever cancels wants what was done to stay."""

    def __init__(
        self, calls: NodeCalls, interrupts: Interrupts, *, set_status: Callable[[RunStatus], None]
    ) -> None:
        self.outcome: Compensated = ""
        self.wanted = True
        self._workflow_run = workflow.info().run_id
        self._calls = calls
        self._interrupts = interrupts
        self._set_status = set_status

    async def run(self) -> dict[str, Any]:
        """Undo what the run did; what became of it, for the failure's details. Nothing when there was nothing to undo."""
        if not workflow.in_workflow() or workflow.info().run_id != self._workflow_run:
            # A workflow that was dropped is closed where its garbage is collected: in nobody's turn, or another one's.
            raise GeneratorExit
        told, _ = await shielded(self._run())
        return told

    async def _run(self) -> dict[str, Any]:
        self._interrupts.clear()
        await self._calls.tasks.effects_over()
        effects = self._calls.effects
        if not effects.owed or not self.wanted:
            self.outcome = ""
            return {}
        self._set_status("running")
        failed = await effects.compensate()
        while failed:
            retried = await self._ask(failed)
            failed = await effects.compensate(retried)
        closed = [entry for entry in effects.entries if entry.state == "closed"]
        self.outcome = "compensation_incomplete" if closed else "compensated"
        workflow.upsert_memo({"compensation": self.outcome})
        return {
            "compensation": self.outcome,
            "undone": [entry.name for entry in effects.entries if entry.state == "undone"],
            "closed": [{"effect": entry.name, "key": entry.key, "reason": entry.reason} for entry in closed],
        }

    async def _ask(self, failed: list[EffectEntry]) -> list[str]:
        """Put what could not be undone to a person; the keys of what to try again."""
        now = workflow.time()
        self._interrupts.ask([_question(entry, now) for entry in failed])
        self._set_status("interrupted")
        await workflow.wait_condition(lambda: bool(self._interrupts.answers))
        retried: list[str] = []
        for key, answer in (self._interrupts.take() or {}).items():
            match answer:
                case {"type": "close", "reason": str(reason)} if reason.strip():
                    self._calls.effects.close(key, reason)
                case "retry" | "approve" | {"type": "retry" | "approve"}:
                    retried.append(key)
                case _:
                    pass  # asked again, with what an answer looks like
        self._set_status("running")
        return retried


def _question(entry: EffectEntry, now: float) -> PendingInterrupt:
    value = {
        "question": f"{entry.name!r} could not be undone. Try again, or close it with a reason?",
        "effect": entry.name,
        "node": entry.node,
        "key": entry.key,
        "arguments": {"args": entry.args, "kwargs": entry.kwargs},
        "problem": entry.reason,
        "answers": _PROBLEM,
        "options": ["retry", "close"],
    }
    return PendingInterrupt(id=entry.key, value=value, node=f"undo {entry.name}", created_at=now)
