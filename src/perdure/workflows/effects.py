"""What a run did to the world: each effect under its key, with its undo.

Side: workflow. One ledger per thread; it goes along when the thread continues as new.

| state         | meaning                                         | leaves it by                                        |
|---------------|-------------------------------------------------|-----------------------------------------------------|
| started       | asked for; it may have happened                 | its activity's end                                  |
| done          | it happened; its result is known                | undo                                                |
| failed        | its retries are used up; it may have happened   | asked for again (in doubt then), undo               |
| undone        | its undo has succeeded                          | asked for again, under a new key                    |
| undo_failed   | its undo has failed for good: a person must see | undo, when a person says so; closed with a reason   |
| closed        | a person has seen to it                         | -                                                   |

Invariants: an entry is written before its activity is scheduled, so an effect whose answer is lost is undone, too; a done
effect is answered from here and not run again; the same place in a run has the same key, and the same arguments. After
Temporal has reset the workflow, an effect that is not in here may have happened all the same: it is in doubt from the start.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, FailureError

from perdure.contract import names
from perdure.contract.effect import EffectEntry, EffectRequest, EffectState, UndoCall, UndoPolicy
from perdure.contract.policy import HEARTBEAT
from perdure.errors import EffectConflict, EffectInDoubt, PerdureError
from perdure.workflows.tracing import RunTrace

__all__ = ["Admission", "Effects"]

_OWED: tuple[EffectState, ...] = ("started", "done", "failed", "undo_failed")
_HAPPENED: tuple[EffectState, ...] = (*_OWED, "closed")


class Window(Protocol):
    """The checkpoints of the thread's root graph, whose ids grow with time."""

    def latest_id(self) -> str: ...
    def oldest_id(self) -> str: ...


@dataclass(frozen=True)
class Admission:
    """What becomes of a request: it is started under `key`, or its `result` (JSON) is known, or it is refused, or a person
    must be asked first."""

    key: str
    in_doubt: bool = False
    result: str | None = None
    refusal: PerdureError | None = None
    ask: bool = False
    asked: int = 0


class Effects:
    """`entries` are those of the run under way, oldest first; `past` tells, in short, of earlier runs that ended well, as far
    back as one can fork. `window` is of the thread's checkpoints."""

    def __init__(
        self,
        entries: Iterable[EffectEntry] = (),
        *,
        window: Window,
        trace: RunTrace,
        past: Iterable[EffectEntry] = (),
    ) -> None:
        self._trace = trace
        self._entries = {entry.key: entry for entry in entries}
        self._window = window
        self._reset = False
        self.past = list(past)

    @property
    def entries(self) -> list[EffectEntry]:
        return list(self._entries.values())

    @property
    def owed(self) -> list[EffectEntry]:
        """Those that an end in failure must undo, newest first."""
        return [e for e in reversed(self._entries.values()) if e.undo is not None and e.state in _OWED]

    def admit(
        self,
        asked: EffectRequest,
        *,
        place: str,
        effect: str,
        name: str,
        node: str,
        step: int,
        args: list[object],
        kwargs: dict[str, object],
    ) -> Admission:
        """Register a call before it is made; `place` is the node call's."""
        key = self._key(place, effect, asked.place)
        known = self._entries.get(key)
        if known is None:
            known = self._entries[key] = EffectEntry(
                key=key,
                effect=effect,
                name=name,
                node=node,
                step=step,
                digest=asked.digest,
                state="started",
                args=args,
                kwargs=kwargs,
                undo=asked.undo,
                after=self._window.latest_id(),
            )
            if not self._reset:
                return Admission(key)
        if known.digest != asked.digest:
            refusal = EffectConflict(
                f"effect {name!r} in node {node!r} was called again with other arguments than before an "
                "interruption: what decides them must not change when the node runs again (put it in a node of its own)"
            )
            return Admission(key, refusal=refusal)
        if known.state == "done":
            return Admission(key, result=known.result, asked=known.asked)
        if asked.in_doubt == "ask":
            return self._as_told(known, asked.answers)
        self._entries[key] = replace(known, state="started")
        return Admission(key, in_doubt=True)

    def _as_told(self, known: EffectEntry, answers: list[Any]) -> Admission:
        """What a person says of an effect that may have happened."""
        told = replace(known, asked=len(answers))
        match answers[-1] if answers else None:
            case "retry" | "approve" | {"type": "retry" | "approve"}:
                self._entries[known.key] = replace(told, state="started")
                return Admission(known.key, in_doubt=True)
            case {"type": "happened", **fields}:
                output = workflow.payload_converter().to_payload({"output": fields.get("result")})
                result = output.data.decode()
                self._entries[known.key] = replace(told, state="done", result=result)
                return Admission(known.key, result=result)
            case "fail" | "reject" | {"type": "fail" | "reject"}:
                refusal = EffectInDoubt(
                    f"effect {known.name!r} may have happened, and a person does not want it tried again (key {known.key})"
                )
                return Admission(known.key, refusal=refusal)
            case _:
                return Admission(known.key, ask=True)

    def settle(self, key: str, state: EffectState, result: str | None = None) -> None:
        if (entry := self._entries.get(key)) is not None and entry.state == "started":
            self._entries[key] = replace(entry, state=state, result=result)

    def doubt(self) -> None:
        """Temporal has reset the workflow: what it does from here on in this run may have happened before."""
        self._reset = True

    def commit(self) -> None:
        """The point of no return: what is done so far is not undone any more."""
        for key, entry in self._entries.items():
            if entry.state == "done":
                self._entries[key] = replace(entry, undo=None)

    def clear(self) -> None:
        """A run is over, and nothing is owed any more."""
        oldest = self._window.oldest_id()
        told = (replace(e, args=[], kwargs={}, result=None, undo=None) for e in self._happened())
        self.past = [entry for entry in (*self.past, *told) if entry.after >= oldest]
        self._entries.clear()
        self._reset = False

    def happened_since(self, checkpoint_id: str) -> list[EffectEntry]:
        """What was done after that checkpoint, and will be done again, under new keys, by a run that starts from it."""
        return [entry for entry in (*self.past, *self._happened()) if entry.after >= checkpoint_id]

    def _happened(self) -> list[EffectEntry]:
        return [entry for entry in self._entries.values() if entry.state in _HAPPENED]

    def close(self, key: str, reason: str) -> None:
        """A person has seen to what could not be undone."""
        self._entries[key] = replace(self._entries[key], state="closed", reason=reason)

    async def compensate(self, again: Iterable[str] = ()) -> list[EffectEntry]:
        """Undo what is owed, newest first, and of what could not be undone before that of these keys; those whose undo has
        failed for good."""
        keys = set(again)
        due = [entry for entry in self.owed if entry.state != "undo_failed" or entry.key in keys]
        for parallel, entries in itertools.groupby(due, lambda entry: entry.undo and entry.undo.parallel):
            if parallel:
                await asyncio.gather(*map(self._undo, entries))
                continue
            for entry in entries:
                await self._undo(entry)
        return [entry for entry in self.owed if entry.state == "undo_failed"]

    async def _undo(self, entry: EffectEntry) -> None:
        if entry.undo is None:
            return
        reason = await _undo(entry, entry.undo, self._trace)
        state: EffectState = "undo_failed" if reason else "undone"
        self._entries[entry.key] = replace(entry, state=state, reason=reason)

    def _key(self, place: str, effect: str, within: str) -> str:
        """The idempotency key: of the thread and the place in its run, never of Temporal's ids, which a reset changes."""
        count = 0
        while True:
            told = "\n".join(
                [workflow.info().workflow_id, place, effect, within, *([str(count)] * (count > 0))]
            )
            key = hashlib.sha256(told.encode()).hexdigest()[:32]
            known = self._entries.get(key)
            # Under its old key a service would remember what has been taken back since.
            if known is None or known.state not in ("undone", "closed"):
                return key
            count += 1


async def _undo(entry: EffectEntry, policy: UndoPolicy, trace: RunTrace) -> str:
    """Why it could not be undone; nothing when it was."""
    result = None if entry.result is None else _output(entry.result)
    span = trace.open(f"undo {entry.name}", key=entry.key)
    try:
        await workflow.execute_activity(
            names.RUN_UNDO,
            UndoCall(entry.effect, entry.name, entry.key, entry.args, entry.kwargs, result, span.context),
            activity_id=f"undo {entry.name}:{entry.key}:{workflow.uuid4().hex[:8]}",
            start_to_close_timeout=timedelta(seconds=policy.timeout),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=policy.first),
                backoff_coefficient=policy.factor,
                maximum_interval=timedelta(seconds=policy.most),
                maximum_attempts=policy.attempts,
            ),
            summary=f"undo {entry.name}",
        )
    except ActivityError as error:
        cause = error.cause or error
        span.end(cause)
        return cause.message if isinstance(cause, FailureError) else str(cause)
    span.end()
    return ""


def _output(result: str) -> Any:
    """What the effect returned: the output of its activity, as of a node's."""
    payload = Payload(metadata={"encoding": b"json/plain"}, data=result.encode())
    return workflow.payload_converter().from_payload(payload).get("output")
