"""Bringing faults into a worker: around the activities, and around the workflow tasks.

Side: testing.

| fault            | what it does                                                                                   |
|------------------|------------------------------------------------------------------------------------------------|
| `crash-before`   | the attempt dies before its body begins; Temporal has it tried again                           |
| `crash-after`    | the body has run, its answer is lost; it is tried again. Of a workflow task: its commands are  |
| `fail-before`    | the call fails for good, its body never begins                                                 |
| `fail-after`     | the body has run, and the caller sees a failure for good                                       |
| `cancel-before`  | the run is cancelled as the body begins                                                        |
| `cancel-after`   | the run is cancelled when the body has run, before its answer is reported                      |
| `restart-before` | the worker is stopped as the body is about to begin; another one, with an empty memory, starts |
| `restart-after`  | the same when the body has run, while its answer is reported                                   |
| `kill-before`, `kill-after`     | the worker's process is killed (SIGKILL); another is started                    |
| `server-before`, `server-after` | the Temporal server is stopped, and started again on its database               |

The last four need processes of their own: see `perdure.testing.faults.processes`. The others come without a process's death,
so what only that does (threads that stop in the middle, heartbeats that cease) does not come.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    WorkerConfig,
    WorkflowRunner,
)

from perdure.contract.effect import UndoCall
from perdure.contract.node import NodeCall
from perdure.contract.task import TaskCall
from perdure.errors import EffectUnknown
from perdure.graph.effect_index import EffectIndex
from perdure.testing.faults.plan import Fault, Plan
from perdure.testing.faults.record import Event, Record, Stage
from perdure.worker.instances import Activate, AroundRunner

__all__ = ["INJECTED", "Disturbance", "FaultPlugin", "Strike"]

INJECTED = "injected fault"

# A later attempt need not wait for what did not really happen.
_AT_ONCE = timedelta(milliseconds=10)

Strike = Callable[[Fault], Awaitable[None]]


class Disturbance:
    """Of one run: its faults, and the record of what happened. `strike` does what a fault of its kind does."""

    def __init__(
        self,
        thread_id: str,
        plan: Plan,
        effects: EffectIndex,
        *,
        strike: Strike,
        record: Record | None = None,
    ) -> None:
        self.thread_id = thread_id
        self.record = record or Record()
        self.stopping = False
        self._left = list(plan.faults)
        self._effects = effects
        self._strike = strike
        self._calls: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    @property
    def left(self) -> list[Fault]:
        """The faults that have not come."""
        return list(self._left)

    def due(self, place: str, when: str) -> Fault | None:
        """The fault that comes there now, and not again; `when` is the end of its kind's name."""
        fault = next((f for f in self._left if f.place == place and f.kind.endswith(when)), None)
        if fault is not None:
            self._left.remove(fault)
        return fault

    def next_place(self, kind: str) -> str:
        """Reach a place that is numbered by its kind alone."""
        self._counts[kind] += 1
        place = f"{kind}:{self._counts[kind]}"
        self.record.reach(place)
        return place

    async def attempt(self, call: object, body: Callable[[], Awaitable[Any]]) -> Any:
        """One attempt of an activity, with what comes before and after its body."""
        event = self._event(call)
        self.record.reach(event.place)
        try:
            await self._come(event.place, "before")
            self._note(event, "begun")
            try:
                result = await body()
            except Exception:
                self._note(event, "raised")
                raise
            self._note(event, "done")
            await self._come(event.place, "after")
        except asyncio.CancelledError:
            if self.stopping:
                raise _crash("the worker was stopped") from None
            raise
        return result

    def workflow_task(self, activation: Any, activate: Callable[[Any], Any]) -> Any:
        """One workflow task; one that crashes has worked, and nobody hears of it."""
        if activation.is_replaying or not any(_is_work(job) for job in activation.jobs):
            return activate(activation)
        place = self.next_place("workflow")
        completion = activate(activation)
        if self.due(place, "after") is None:
            return completion
        lost = type(completion)()
        lost.failed.failure.message = INJECTED
        return lost

    async def _come(self, place: str, when: str) -> None:
        fault = self.due(place, when)
        if fault is None:
            return
        if fault.kind.startswith("crash"):
            raise _crash("the worker died")
        if fault.kind.startswith("fail"):
            raise ApplicationError(
                f"{INJECTED}: failed for good",
                type="InjectedFailure",
                non_retryable=True,
                category=ApplicationErrorCategory.BENIGN,
            )
        await self._strike(fault)
        if fault.kind == "restart-before":
            await asyncio.Event().wait()  # until the worker, being stopped, cancels it

    def _note(self, event: Event, stage: Stage) -> None:
        self.record.note(replace(event, stage=stage))

    def _event(self, call: object) -> Event:
        info = activity.info()
        if isinstance(call, UndoCall):
            return Event(self._place(info, "undo", call.name), "begun", call.key, call.name)
        assert isinstance(call, NodeCall)
        if not isinstance(call, TaskCall):
            return Event(self._place(info, "node", "/".join(call.path)), "begun")
        name = call.path[-1]
        if call.effect is None:
            return Event(self._place(info, "task", name), "begun")
        place = self._place(info, "effect", name)
        in_doubt = call.effect.in_doubt or info.attempt > 1
        return Event(place, "begun", call.effect.key, name, in_doubt, self._has_undo(call.task))

    def _place(self, info: activity.Info, kind: str, name: str) -> str:
        """The same for each attempt of a call."""
        call = f"{info.workflow_run_id} {info.activity_id}"
        if call not in self._calls:
            self._counts[f"{kind}:{name}"] += 1
            self._calls[call] = f"{kind}:{name}:{self._counts[f'{kind}:{name}']}"
        return self._calls[call]

    def _has_undo(self, effect: str) -> bool:
        try:
            return self._effects[effect].undo is not None
        except EffectUnknown:
            return False


class FaultPlugin(SimplePlugin):
    """For a worker. `current` is the run that is disturbed; any other is left alone."""

    def __init__(self) -> None:
        self.current: Disturbance | None = None
        super().__init__("perdure-faults", interceptors=[_Around(self)])

    def of(self, thread_id: str | None) -> Disturbance | None:
        return self.current if self.current is not None and self.current.thread_id == thread_id else None

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        config = super().configure_worker(config)
        runner = config.get("unsandboxed_workflow_runner")  # the thread workflow's
        assert runner is not None
        config["unsandboxed_workflow_runner"] = _Runner(runner, self)
        return config


class _Around(Interceptor):
    def __init__(self, faults: FaultPlugin) -> None:
        self._faults = faults

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _AroundActivity(next, self._faults)


class _AroundActivity(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, faults: FaultPlugin) -> None:
        super().__init__(next)
        self._faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        disturbance = self._faults.of(activity.info().workflow_id)
        call = input.args[0] if input.args else None
        if disturbance is None or not isinstance(call, (NodeCall, UndoCall)):
            return await self.next.execute_activity(input)
        return await disturbance.attempt(call, lambda: self.next.execute_activity(input))


class _Runner(AroundRunner):
    def __init__(self, inner: WorkflowRunner, faults: FaultPlugin) -> None:
        super().__init__(inner)
        self._faults = faults

    def around(self, thread_id: str, activate: Activate) -> Activate:
        def disturbed(act: Any) -> Any:
            disturbance = self._faults.of(thread_id)
            return activate(act) if disturbance is None else disturbance.workflow_task(act, activate)

        return disturbed


def _is_work(job: Any) -> bool:
    return not job.HasField("query_workflow") and not job.HasField("remove_from_cache")


def _crash(why: str) -> ApplicationError:
    return ApplicationError(
        f"{INJECTED}: {why}",
        type="InjectedCrash",
        next_retry_delay=_AT_ONCE,
        category=ApplicationErrorCategory.BENIGN,
    )
