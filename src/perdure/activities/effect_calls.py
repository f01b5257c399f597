"""Calling effects: an attempt of a node asks its workflow for each, as for a `@task`.

Side: activities. The workflow registers the call before it is made, and answers one that was made before from its memory.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables.config import var_child_runnable_config
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RetryPolicy

from perdure.activities.task_mail import TaskMail
from perdure.contract.effect import EffectRequest, UndoPolicy
from perdure.contract.task import TaskInput, TaskOutcome, TaskRequest, TaskRetry
from perdure.errors import NodeFailed, PayloadError
from perdure.graph.effect import EffectSpec
from perdure.graph.effect_index import EffectIndex

__all__ = ["EffectCalls"]


class EffectCalls:
    """Implements `perdure.graph.effect.EffectCaller` for one attempt; `call` is the key that the attempt was asked under."""

    def __init__(self, call: str, mail: TaskMail, index: EffectIndex) -> None:
        self.loop = asyncio.get_running_loop()
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
        request = TaskRequest(
            key=f"{self._call}.{spec.name}@{place}",
            task=spec.id,
            name=spec.name,
            input=TaskInput(id="", namespace="", args=list(args), kwargs=kwargs),
            retry=_retry(spec.retry),
            timeout=spec.timeout.total_seconds() if spec.timeout else None,
            effect=EffectRequest(
                place=place,
                digest=_digest(spec, args, kwargs),
                in_doubt=spec.in_doubt,
                undo=_undo_policy(spec),
            ),
        )
        try:
            return _result(await self._mail.ask(request))
        except Exception as error:
            self._raised.append(error)
            raise

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
    )
