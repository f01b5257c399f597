"""Driving one run of a graph to its end: steps, interrupts and their answers, the drain before continuing as new.

Side: workflow. LangGraph decides what to do; this class asks it to go on, and waits where it asks for something.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, NoReturn

from langgraph.runtime import RunControl
from langgraph.types import Command, Interrupt
from temporalio import workflow

from perdure._compat import CONFIG_KEY_THREAD_ID, DEFAULT_RECURSION_LIMIT, INTERRUPT
from perdure.contract.state import StateUpdate
from perdure.contract.thread import CarryOver, RunRequest, RunStatus, ThreadStart
from perdure.graph.channels import going_on
from perdure.graph.inline import graph_scope
from perdure.graph.limits import LIMIT_KEY, RecursionLimits, named_limit
from perdure.graph.mirror import CALLER_KEY
from perdure.workflows.budgets import Budgets
from perdure.workflows.interrupts import Interrupts
from perdure.workflows.node_calls import NodeCalls
from perdure.workflows.publishing import Publisher
from perdure.workflows.states import States
from perdure.workflows.tracing import RunTrace

__all__ = ["RunDriver"]


class RunDriver:
    """One per workflow run; drives one run after the other.

    `set_status` and `continue_as_new` are the thread's: a run comes to rest, or must go on in a new workflow run.
    """

    def __init__(
        self,
        start: ThreadStart,
        states: States,
        interrupts: Interrupts,
        *,
        set_status: Callable[[RunStatus], None],
        continue_as_new: Callable[[RunRequest], NoReturn],
    ) -> None:
        self.limits = RecursionLimits(states.saver, _stops(start.carry))
        book = start.carry.budgets if start.carry else None
        self._budgets = Budgets(book, start.thread_budget, interrupts, set_status=set_status)
        self.trace = RunTrace(lambda: self._budgets.told()["run"])
        self._budgets.on_spent = self.trace.metrics.used
        self.calls = NodeCalls(
            start.graph,
            start.carry,
            self._budgets,
            limits=self.limits,
            window=states.saver,
            trace=self.trace,
            on_result=self._after_call,
        )
        self.publisher = Publisher(start.carry.published if start.carry else 0)
        # The run whose interrupts the one that is driven answers, or that one itself: what was done in the one belongs to
        # the other, too.
        self.root = start.carry.root if start.carry else ""
        # What has to be over before the thread continues as new while a run waits.
        self.before_carry: Callable[[], Awaitable[None]] | None = None
        self._first_call = self.calls.count
        self._carry_every = start.carry_every
        self._states = states
        self._interrupts = interrupts
        self._set_status = set_status
        self._continue_as_new = continue_as_new
        self._control: RunControl | None = None
        self._asked: list[Interrupt] = []
        # Held by whoever writes checkpoints: a step of the run, or an update of the state by hand.
        self._writing = asyncio.Lock()

    @property
    def writing(self) -> bool:
        return self._writing.locked()

    def place(self) -> dict[str, Any]:
        """Which step of which run is under way, for logs."""
        return {**self.trace.place(), "step": self._states.saver.step() + 1}

    def should_carry(self) -> bool:
        done = self.calls.count - self._first_call
        limit = self._carry_every
        return (limit > 0 and done >= limit) or workflow.info().is_continue_as_new_suggested()

    async def drive(self, request: RunRequest, *, resume: bool) -> Any:
        """Run the graph until it ends, answering its interrupts as decisions and deadlines come in.

        Args:
            resume: go on where a workflow run before this one stopped.

        Raises:
            GraphDrained: when it must go on in a new workflow run.
        """
        self._budgets.begin(request)
        self._interrupts.timeout = request.approval_timeout
        if not resume and self.root in ("", request.id):
            self.calls.answers.clear()
        self.calls.begin(request, self.root)
        step_input: Any = None if resume else request.input
        fork = None if resume else request.checkpoint_id
        resume = resume and not self._interrupts.asking
        while True:
            if not self._interrupts.asking:
                self._set_status("running")
                result = await self._step(request, step_input, fork, resume=resume)
                resume, fork = False, None
                self._interrupts.open(self._states.latest(), workflow.time(), self._asked)
                if not self._interrupts.asking or request.ends_when_interrupted:
                    return result
            self._set_status("interrupted")
            wait = self.trace.open("wait", nodes=", ".join(item.node for item in self._interrupts.waiting))
            with self._budgets.waiting():
                answers = await self._answers(request)
            wait.end(link=("answered by", self._interrupts.answered_by))
            step_input = None if answers is None else Command(resume=answers)

    async def update_state(self, update: StateUpdate, *, running: bool) -> str:
        """Write values by hand; the new checkpoint's id. What a waiting run asked is no longer asked, then."""
        async with self._writing:
            checkpoint_id = await self._states.update(update)
            if running:
                self._interrupts.open(self._states.latest(), workflow.time())
            return checkpoint_id

    async def _step(self, request: RunRequest, step_input: Any, fork: str | None, *, resume: bool) -> Any:
        """Let LangGraph go on until it ends or asks; its output values."""
        self._control = RunControl()
        modes = self.publisher.open(request)
        config = self._config(request, fork, resume=resume)
        result: Any = None
        self._asked = []
        async with self._writing:
            with graph_scope(self._states.ids), going_on(resume):
                chunks: AsyncIterator[Any] = self._states.graph.astream(
                    step_input,
                    config,
                    context=request.context,
                    stream_mode=modes,
                    subgraphs=request.subgraphs,
                    interrupt_before=request.interrupt_before,
                    interrupt_after=request.interrupt_after,
                    # As `ainvoke` does it: the graph's output schema, not all of its state.
                    output_keys=self._states.graph.output_channels,
                    durability="sync",
                    control=self._control,
                )
                async for part in chunks:
                    namespace, mode, chunk = part if request.subgraphs else ((), *part)
                    self.publisher.chunk(namespace, mode, chunk)
                    if namespace:
                        continue
                    if mode == "values":
                        result = chunk
                    elif mode == "updates":
                        self._asked += chunk.get(INTERRUPT, ())
        if self._asked and isinstance(result, dict):
            # Each node that asks says so by itself; the result has what all of them ask, as `ainvoke`'s has.
            result = {**result, INTERRUPT: tuple({item.id: item for item in self._asked}.values())}
        return result

    async def _answers(self, request: RunRequest) -> dict[str, Any] | None:
        """Wait for answers, or for an update of the state that leaves nothing to ask."""

        def settled() -> bool:
            return bool(self._interrupts.answers) or not self._interrupts.asking

        while not settled():
            if self.should_carry():
                if self.before_carry is not None:
                    await self.before_carry()
                self._continue_as_new(request)
            deadline = self._interrupts.next_deadline()
            timeout = None if deadline is None else timedelta(seconds=max(0.0, deadline - workflow.time()))
            try:
                await workflow.wait_condition(
                    lambda: settled() or self.should_carry(),
                    timeout=timeout,
                    timeout_summary="deadline of the waiting interrupts",
                )
            except TimeoutError:
                self._interrupts.expire(workflow.time())
        return self._interrupts.take()

    def _after_call(self) -> None:
        # Asked for before a step has run, a drain would make no progress at all.
        if self._control is not None and self.should_carry() and self.limits.room():
            self._control.request_drain("continue as new")

    def _config(self, request: RunRequest, fork: str | None, *, resume: bool) -> Any:
        config = dict(request.config)
        configurable = {k: v for k, v in config.get("configurable", {}).items() if k != "checkpoint_id"}
        named = named_limit(request.config) or named_limit(self._states.graph.config)
        limit = named or DEFAULT_RECURSION_LIMIT
        config["recursion_limit"] = self.limits.enter("", limit, going_on=resume, checkpoint_id=fork)
        config["configurable"] = {
            **configurable,
            CONFIG_KEY_THREAD_ID: workflow.info().workflow_id,
            CALLER_KEY: self.calls,
            **({LIMIT_KEY: named} if named else {}),
            **({"checkpoint_id": fork} if fork else {}),
        }
        return config


def _stops(carry: CarryOver | None) -> dict[str, int]:
    if carry is None:
        return {}
    if carry.stop_at_step is not None:
        return {"": carry.stop_at_step, **carry.stops}
    return carry.stops
