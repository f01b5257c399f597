"""Where a `@task` call runs: as an activity of its own, or in the attempt that calls it.

Side: activities. LangGraph's runner stays in charge of a task's number, future, memory and interrupts; what the task's
function does is replaced by a letter to the workflow. A task that another process could not find (it is local to a
function), or whose arguments have no payload form, runs in the attempt.

Not guaranteed: that a task ends when its future is cancelled. It does when its node call ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.types import RetryPolicy, TimeoutPolicy
from temporalio import activity
from temporalio.api.common.v1 import Payload

from perdure._compat import (
    CONF,
    CONFIG_KEY_CALL,
    CONFIG_KEY_CHECKPOINT_NS,
    CONFIG_KEY_RUNTIME,
    CONFIG_KEY_SCRATCHPAD,
    CONFIG_KEY_SEND,
    CONFIG_KEY_TASK_ID,
    NS_END,
    NS_SEP,
    PUSH,
    ParentCommand,
    PregelScratchpad,
    set_config_context,
)
from perdure.activities.task_mail import TaskMail
from perdure.activities.tasks import in_own_thread
from perdure.contract.task import TaskInput, TaskOutcome, TaskRequest, TaskRetry
from perdure.contract.thread import SavedCheckpoint
from perdure.errors import NodeFailed, PayloadNotSerializable
from perdure.graph.policy import temporal_retry
from perdure.graph.task_functions import named_tasks, task_body, task_path

__all__ = ["TaskRouter"]

_Input = tuple[tuple[Any, ...], dict[str, Any]]


class TaskRouter:
    """One per attempt. `call` is the key under which the attempt itself was asked for; `nested` what it was given."""

    def __init__(
        self, call: str, mail: TaskMail, *, retry: Sequence[RetryPolicy], nested: Sequence[SavedCheckpoint]
    ) -> None:
        self._call = call
        self._mail = mail
        self._retry = tuple(retry)
        self._given = list(nested)
        self._nested: dict[str, list[SavedCheckpoint]] = {}
        self._raised: list[BaseException] = []

    def nested(self) -> list[SavedCheckpoint]:
        """The checkpoints of graphs that tasks ran by themselves, where those stopped at an interrupt."""
        return [checkpoint for saved in self._nested.values() for checkpoint in saved]

    def has_raised(self, error: BaseException) -> bool:
        """Whether that is the failure of a task, whose retries are used up then."""
        return any(error is raised for raised in self._raised)

    def around(self, bound: Runnable[Any, Any]) -> Runnable[Any, Any]:
        """The body of a node, whose tasks this router takes."""
        return _Routed(bound, self)

    def routed(self, config: RunnableConfig) -> RunnableConfig:
        """The config with which a function calls its tasks here."""
        conf = config.get(CONF, {})
        return {**config, CONF: {**conf, CONFIG_KEY_CALL: partial(self._route, conf[CONFIG_KEY_CALL])}}

    def _route(
        self,
        call: Callable[..., Any],
        func: Callable[..., Any],
        input: _Input,
        *,
        retry_policy: Sequence[RetryPolicy] | None = None,
        timeout: TimeoutPolicy | None = None,
        **options: Any,
    ) -> Any:
        """In place of LangGraph's own `call`, which then numbers, starts and remembers what it is given here."""
        path = task_path(func)
        if path is not None and _is_portable(input):
            work = partial(self._elsewhere, path, retry_policy or self._retry, timeout)
            return call(_named(func, work), input, retry_policy=None, timeout=None, **options)
        return call(
            _named(func, partial(self._here, func)),
            input,
            retry_policy=retry_policy,
            timeout=timeout,
            **options,
        )

    async def _here(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        body = in_own_thread(task_body(func)) if named_tasks(func) else task_body(func)
        return await self.around(body).ainvoke((args, kwargs), get_config())

    async def _elsewhere(
        self,
        path: str,
        retry: Sequence[RetryPolicy],
        timeout: TimeoutPolicy | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        config = get_config()
        conf = config.get(CONF, {})
        metadata = config.get("metadata", {})
        scratch: PregelScratchpad = conf[CONFIG_KEY_SCRATCHPAD]
        namespace: str = conf[CONFIG_KEY_CHECKPOINT_NS]
        request = TaskRequest(
            key=".".join([self._call, *map(str, _places(metadata["langgraph_path"]))]),
            task=path,
            name=metadata["langgraph_node"],
            input=TaskInput(
                id=conf[CONFIG_KEY_TASK_ID],
                namespace=namespace,
                args=list(args),
                kwargs=kwargs,
                resume=list(scratch.resume),
                nested=[saved for saved in self._given if _is_within(saved.namespace, namespace)],
            ),
            retry=_retry(retry),
            timeout=_seconds(timeout),
        )
        outcome = await self._mail.ask(request)
        return self._result(outcome, namespace, conf)

    def _result(self, outcome: TaskOutcome, namespace: str, conf: dict[str, Any]) -> Any:
        """Do here what the task did to LangGraph where it ran."""
        payload = Payload(metadata={"encoding": b"json/plain"}, data=outcome.data.encode())
        told: dict[str, Any] = activity.payload_converter().from_payload(payload)
        if outcome.failed:
            error = told.pop("original") or NodeFailed(**told)
            self._raised.append(error)
            raise error
        if writes := told.get("writes"):
            conf[CONFIG_KEY_SEND]([(channel, value) for channel, value in writes])
        if nested := told.get("nested") or told.get("memory"):
            self._nested[namespace] = nested
        if reason := told.get("drain"):
            conf[CONFIG_KEY_RUNTIME].control.request_drain(reason)
        if interrupts := told.get("interrupts"):
            raise GraphInterrupt(tuple(interrupts))
        if (command := told.get("parent_command")) is not None:
            raise ParentCommand(command)
        return told.get("output")


class _Routed(Runnable[Any, Any]):
    def __init__(self, bound: Runnable[Any, Any], router: TaskRouter) -> None:
        self._bound = bound
        self._router = router

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        routed = self._router.routed(config or {})
        # Tasks look for the config in the context.
        with set_config_context(routed) as context:
            return await asyncio.create_task(self._bound.ainvoke(input, routed, **kwargs), context=context)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        raise RuntimeError("a node that calls tasks is run asynchronously here")


def _named(func: Callable[..., Any], work: Callable[[tuple[Any, ...], dict[str, Any]], Any]) -> Any:
    """A function for LangGraph's runner that has the task's name, from which it derives ids, and takes anything: what
    LangGraph injects is for the real function."""

    async def task(*args: Any, **kwargs: Any) -> Any:
        return await work(args, kwargs)

    task.__name__ = getattr(func, "__name__", None) or type(func).__name__
    return task


def _is_portable(input: _Input) -> bool:
    try:
        activity.payload_converter().to_payload(list(input))
    except PayloadNotSerializable:
        return False
    return True


def _places(path: Any) -> list[int]:
    """The places of a task and of the tasks around it, each in the body of the next."""
    outer, place = path[1], path[2]
    return [*(_places(outer) if outer[0] == PUSH else ()), place]


def _is_within(inner: str, outer: str) -> bool:
    """A subgraph with a memory of its own has a namespace without task ids, the same wherever it is called."""
    return inner == outer or inner.startswith(outer + NS_SEP) or NS_END not in inner


def _retry(policies: Sequence[RetryPolicy]) -> TaskRetry | None:
    if not policies:
        return None
    policy = temporal_retry(policies)
    most = policy.maximum_interval or policy.initial_interval
    return TaskRetry(
        attempts=policy.maximum_attempts,
        first=policy.initial_interval.total_seconds(),
        factor=policy.backoff_coefficient,
        most=most.total_seconds(),
    )


def _seconds(timeout: TimeoutPolicy | None) -> float | None:
    limit = timeout.run_timeout if timeout is not None else None
    return limit.total_seconds() if isinstance(limit, timedelta) else limit
