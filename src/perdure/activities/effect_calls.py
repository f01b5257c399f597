"""Calling effects: an attempt of a node asks its workflow for each, as for a `@task`.

Side: activities. The workflow registers the call before it is made, and answers one that was made before from its memory.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.types import interrupt
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RetryPolicy

from perdure.activities.failures import classify, describe
from perdure.activities.task_mail import TaskMail
from perdure.contract.effect import EffectRequest, UndoPolicy
from perdure.contract.task import TaskInput, TaskOutcome, TaskRequest, TaskRetry
from perdure.errors import NodeFailed, PayloadError, PerdureError
from perdure.graph.effect import EffectSpec
from perdure.graph.effect_index import EffectIndex

__all__ = ["EffectCalls"]


class EffectCalls:
    """Implements `perdure.graph.effect.EffectCaller` for one attempt; `call` is the key that the attempt was asked under.
    `committed` tells that the node reached its point of no return; a task (`in_node` is off) has none."""

    def __init__(self, call: str, mail: TaskMail, index: EffectIndex, *, in_node: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.committed = False
        self._in_node = in_node
        self.tool_calls = ToolCalls()
        self._call = call
        self._mail = mail
        self._index = index
        self._counts: Counter[tuple[str, str]] = Counter()
        self._raised: list[Exception] = []

    async def call(self, spec: EffectSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._index.check(spec)
        within = self.tool_calls.current()
        place = f"{within}#{self._counts[spec.id, within]}"
        self._counts[spec.id, within] += 1
        asks = spec.in_doubt == "ask"
        request = TaskRequest(
            key=f"{self._call}.{spec.name}@{place}",
            task=spec.id,
            name=spec.name,
            input=TaskInput(id="", namespace="", args=list(args), kwargs=kwargs),
            # Whether to try again is for a person to say.
            retry=replace(_retry(spec.retry), attempts=1) if asks else _retry(spec.retry),
            timeout=spec.timeout.total_seconds() if spec.timeout else None,
            effect=EffectRequest(
                place=place,
                digest=_digest(spec, args, kwargs),
                in_doubt=spec.in_doubt,
                undo=_undo_policy(spec),
            ),
        )
        try:
            return await (self._ask_through(request, args, kwargs) if asks else self._make(request))
        except Exception as error:
            self._raised.append(error)
            raise

    def commit(self) -> None:
        if not self._in_node:
            raise RuntimeError("commit_effects() was called in a @task: call it in the node or entrypoint")
        self.committed = True

    async def _make(self, request: TaskRequest) -> Any:
        return _result(await self._mail.ask(request))

    async def _ask_through(self, request: TaskRequest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As `_make`; a person is asked what to do about a call that may have happened, until they say it."""
        assert request.effect is not None
        answers: list[Any] = []
        while True:
            effect = replace(request.effect, answers=list(answers))
            # Each is a request of its own: the outcome of the one before may be told again, by a replay.
            key = f"{request.key}!{len(answers)}" if answers else request.key
            outcome = await self._mail.ask(replace(request, key=key, effect=effect))
            problem = _problem(outcome)
            if not problem:
                break
            answers.append(interrupt(_question(request.name, args, kwargs, problem)))
        # LangGraph gives answers out in the order of the questions: those of an earlier time must be asked for again.
        for _ in range(outcome.asked):
            interrupt(_question(request.name, args, kwargs, ""))
        return _result(outcome)

    def has_raised(self, error: BaseException) -> bool:
        """Whether that is the failure of an effect, whose retries are used up then."""
        return any(error is raised for raised in self._raised)


class ToolCalls(AsyncCallbackHandler):
    """Knows which tool call the code under way belongs to: the model's id for it does not change from attempt to attempt."""

    run_inline = True

    def __init__(self) -> None:
        self._ids: dict[UUID, str] = {}

    async def on_tool_start(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        self._ids[run_id] = kwargs.get("tool_call_id") or ""

    def current(self) -> str:
        """Its id; "" outside of a tool call."""
        config = var_child_runnable_config.get()
        parent = getattr((config or {}).get("callbacks"), "parent_run_id", None)
        return "" if parent is None else self._ids.get(parent, "")


def _problem(outcome: TaskOutcome) -> str:
    """Why it may have happened; nothing where that is known."""
    if outcome.in_doubt:
        return "it was interrupted"
    if not outcome.failed:
        return ""
    try:
        _result(outcome)
    except PerdureError as error:
        return str(error) if isinstance(error, NodeFailed) else ""
    except Exception as error:  # noqa: BLE001 - any of the effect's own
        return describe(error) if classify(error).retry else ""
    return ""


def _question(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], problem: str) -> dict[str, Any]:
    return {
        "question": f"{name!r} may have happened already. What is to be done?",
        "effect": name,
        "arguments": {"args": list(args), "kwargs": kwargs},
        "problem": problem,
        "answers": 'answer "retry", {"type": "happened", "result": ...}, or "fail"',
        "options": ["retry", "happened", "fail"],
    }


def _result(outcome: TaskOutcome) -> Any:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=outcome.data.encode())
    told: dict[str, Any] = activity.payload_converter().from_payload(payload)
    if outcome.failed:
        raise told.pop("original") or NodeFailed(**told)
    return told.get("output")


def _digest(spec: EffectSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    try:
        payload = activity.payload_converter().to_payload([list(args), kwargs])
    except PayloadError as error:
        raise type(error)(f"the arguments of effect {spec.name!r} cannot be stored: {error}") from error
    return hashlib.sha256(payload.data).hexdigest()[:16]


def _retry(retry: RetryPolicy) -> TaskRetry:
    most = retry.maximum_interval or retry.initial_interval * 100
    return TaskRetry(
        attempts=retry.maximum_attempts,
        first=retry.initial_interval.total_seconds(),
        factor=retry.backoff_coefficient,
        most=most.total_seconds(),
    )


def _undo_policy(spec: EffectSpec) -> UndoPolicy | None:
    if spec.undo is None:
        return None
    retry = _retry(spec.undo_retry)
    return UndoPolicy(
        attempts=retry.attempts,
        first=retry.first,
        factor=retry.factor,
        most=retry.most,
        timeout=spec.undo_timeout.total_seconds(),
        parallel=spec.undo_parallel,
    )
