"""Scheduling node calls: one activity per call, its input by reference.

Side: workflow. Owns the calls that are under way and the inputs that an activity in another process may ask for.
"""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import Callable
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt
from langgraph.runtime import Runtime
from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from perdure._compat import (
    CONFIG_KEY_CHECKPOINT_MAP,
    CONFIG_KEY_CHECKPOINT_NS,
    CONFIG_KEY_NODE_ERROR,
    CONFIG_KEY_READ,
    CONFIG_KEY_RESUME_MAP,
    CONFIG_KEY_RESUMING,
    CONFIG_KEY_RUNTIME,
    CONFIG_KEY_SCRATCHPAD,
    CONFIG_KEY_SEND,
    CONFIG_KEY_TASK_ID,
    NS_SEP,
    TASKS,
    ParentCommand,
    PregelScratchpad,
    configurable,
)
from perdure.contract import names
from perdure.contract.node import NODE_STREAMS, InputPage, InputRequest, NodeCall, NodeInput, Scratch
from perdure.contract.policy import METADATA_KEY, with_handovers
from perdure.contract.thread import CarryOver, RunRequest, SavedCheckpoint
from perdure.contract.usage import usage_from
from perdure.errors import BudgetExhausted
from perdure.graph.limits import LIMIT_KEY, RecursionLimits
from perdure.graph.mirror import NodeProxy
from perdure.graph.snapshot import Copies
from perdure.payloads import summary
from perdure.workflows.budgets import Budgets
from perdure.workflows.effects import Effects, Window
from perdure.workflows.failure import failed_usage, node_failed
from perdure.workflows.places import Places
from perdure.workflows.sizes import payload_limit
from perdure.workflows.task_calls import TaskCalls
from perdure.workflows.tracing import RunTrace

__all__ = ["EXTERN_DROP_INPUT", "EXTERN_PUT_INPUT", "NodeCalls"]

EXTERN_PUT_INPUT = "perdure.put_input"
EXTERN_DROP_INPUT = "perdure.drop_input"

_INTERNAL_KEYS = (
    CONFIG_KEY_TASK_ID,
    CONFIG_KEY_CHECKPOINT_NS,
    CONFIG_KEY_CHECKPOINT_MAP,
    CONFIG_KEY_RESUME_MAP,
    CONFIG_KEY_RESUMING,
)
_PLAIN = (str, int, float, bool, type(None), list, tuple, dict)


class NodeCalls:
    """Implements `perdure.graph.mirror.NodeCaller` for one workflow run."""

    def __init__(
        self,
        graph: str,
        carry: CarryOver | None,
        budgets: Budgets,
        *,
        limits: RecursionLimits,
        window: Window,
        trace: RunTrace,
        on_result: Callable[[], None],
    ) -> None:
        carry = carry or CarryOver()
        self.budgets = budgets
        self.limits = limits
        self.effects = Effects(carry.effects, window=window, past=carry.past_effects, trace=trace)
        self.places = Places(carry.places)
        self.run_id = ""
        self._trace = trace
        self.count = carry.calls
        # By task namespace: what graphs that a node runs by itself need to go on after an interrupt. Without task ids: what
        # such a graph with a memory of its own remembers.
        self.nested: dict[str, list[SavedCheckpoint]] = dict(carry.nested)
        # Likewise: what the models of a node had answered before it asked something; it is not asked of them again.
        self.answers: dict[str, list[list[str]]] = dict(carry.model_answers)
        self._graph = graph
        self._on_result = on_result
        self._under_way: dict[str, Callable[[], NodeInput]] = {}
        self._copies = Copies()
        self._seen: dict[str, Any] = {}
        self._stream: list[str] = []
        self._told_run = ""
        self.on_call: Callable[[], None] | None = None
        self.tasks = TaskCalls(self.effects, budgets, trace, put=self._put_input, drop=self._drop_input)

    def begin(self, request: RunRequest, root: str) -> None:
        """The calls from now on are those of this run; `root` is the run that it goes on with, if it does."""
        self.run_id = root or request.id
        self._told_run = request.id
        if request.graph:
            self._graph = request.graph
        told = [mode for mode in request.stream if mode in NODE_STREAMS]
        self._stream = [*told, *(["subgraphs"] if told and request.subgraphs else [])]

    async def __call__(self, proxy: NodeProxy, input: Any, config: RunnableConfig) -> Any:
        if self.on_call is not None:
            self.on_call()
        self.count += 1
        call = str(self.count)
        namespace: str = configurable(config)[CONFIG_KEY_CHECKPOINT_NS]
        nested = self._nested(proxy, namespace)

        def build() -> NodeInput:
            return _node_input(input, config, nested)

        self._under_way[call] = build
        self._put_input(call, build)
        path = NS_SEP.join(proxy.path)
        number = self.places.take(path)
        place = f"{self.run_id}/{path}/{number}"
        step = _step(config)
        span = self._trace.open(f"node {'/'.join(proxy.path)}", node=proxy.path[-1], step=step)
        self.tasks.open(call, self._graph, proxy, step, place, build, trace=span.context)
        done = False
        try:
            known = self.answers.pop(namespace, [])
            outcome = await self._within_budget(
                proxy, call, self._news(input), step, known, trace=span.context
            )
            done = not outcome.get("interrupts")
        except (Exception, asyncio.CancelledError) as error:
            # Not when the workflow is evicted (that is neither): its activity goes on and wants its input.
            self._ended(call)
            span.end(error)
            raise
        finally:
            del self._under_way[call]
            self.places.leave(path, number, done=done)
        self._ended(call)
        span.end(asked=not done, failures=outcome.get("failures"), outputs=outcome.get("outputs"))
        self._on_result()
        if done and outcome.get("commit"):
            self.effects.commit()
        if answers := outcome.get("answers"):
            self.answers[namespace] = answers
        if stopped := outcome.get("nested"):
            self.nested[namespace] = stopped
        memory: list[SavedCheckpoint] = outcome.get("memory", [])
        for name in {saved.namespace: None for saved in memory}:
            self.nested[name] = [saved for saved in memory if saved.namespace == name]
        return _apply(outcome, config)

    def _nested(self, proxy: NodeProxy, namespace: str) -> list[SavedCheckpoint]:
        """Where graphs that this call ran stopped, and what those with a memory of their own (`checkpointer=True`) kept."""
        stopped = self.nested.pop(namespace, [])
        known = {saved.namespace for saved in stopped}
        path = NS_SEP.join(proxy.path)
        memory = [
            saved
            for name, kept in self.nested.items()
            if (name == path or name.startswith(path + NS_SEP)) and name not in known
            for saved in kept
        ]
        return [*memory, *stopped]

    def _put_input(self, call: str, build: Callable[[], NodeInput]) -> None:
        info = workflow.info()
        workflow.extern_functions()[EXTERN_PUT_INPUT](
            (info.workflow_id, info.run_id, call), build, self._copies
        )

    def _drop_input(self, call: str) -> None:
        info = workflow.info()
        workflow.extern_functions()[EXTERN_DROP_INPUT]((info.workflow_id, info.run_id, call))

    def _ended(self, call: str) -> None:
        self._drop_input(call)
        self.tasks.close(call)

    async def _within_budget(
        self,
        proxy: NodeProxy,
        call: str,
        news: dict[str, str],
        step: int,
        answers: list[list[str]],
        *,
        trace: str,
    ) -> dict[str, Any]:
        """The call's outcome; made again with what its models had answered when a person raises a budget that was too small."""
        while True:
            await self.budgets.check_time()
            raised = self.budgets.raised
            try:
                outcome = await self._schedule(proxy, call, news, step, answers, trace)
            except BudgetExhausted as exhausted:
                await self.budgets.over(exhausted, raised)
                answers = exhausted.answers
                continue
            self.budgets.spent(usage_from(outcome.get("usage")))
            return outcome

    async def _schedule(
        self,
        proxy: NodeProxy,
        call: str,
        news: dict[str, str],
        step: int,
        answers: list[list[str]],
        trace: str,
    ) -> dict[str, Any]:
        policy = proxy.policy
        try:
            return await workflow.execute_activity(
                names.RUN_NODE,
                NodeCall(
                    graph=self._graph,
                    path=list(proxy.path),
                    step=step,
                    call=call,
                    new=news,
                    explicit_retry=policy.explicit_retry,
                    left=self.budgets.left(),
                    answers=answers,
                    run=self._told_run if self._stream else "",
                    stream=self._stream,
                    attempts=policy.retry.maximum_attempts,
                    trace=trace,
                ),
                activity_id=f"{proxy.name}:{call}",
                task_queue=policy.task_queue,
                start_to_close_timeout=policy.timeout,
                heartbeat_timeout=policy.heartbeat,
                retry_policy=with_handovers(policy.retry),
                summary=policy.summary or f"{'/'.join(proxy.path)}, step {step}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                # As LangGraph and asyncio know it; a FailureError would read as a failure of the node.
                raise asyncio.CancelledError(f"node {'/'.join(proxy.path)!r} was cancelled") from error
            self.budgets.spent(failed_usage(error))
            failed = node_failed(
                "/".join(proxy.path), error, timeout=policy.timeout, heartbeat=policy.heartbeat
            )
            if isinstance(failed.original, BudgetExhausted):
                raise failed.original from error
            if failed.original is None:
                raise failed from error
            # LangGraph gives a node's error handler what the node raised; `as_failure` finds the rest in the cause.
            raise failed.original from failed

    def _news(self, input: Any) -> dict[str, str]:
        """What this input has that the previous call's had not: for whoever reads the history."""
        if not isinstance(input, dict):
            return {"input": summary(input)}
        state = cast("dict[str, Any]", input)
        news = {
            name: summary(value)
            for name, value in state.items()
            if name not in self._seen or self._seen[name] is not value
        }
        self._seen.update(state)
        return news

    def page(self, request: InputRequest) -> InputPage:
        """One page of the input of a call that is under way.

        Raises:
            ApplicationError: when no such call is under way; an attempt that asks for it is out of date.
        """
        build = self._under_way.get(request.call) or self.tasks.input(request.call)
        if build is None:
            raise ApplicationError(
                f"node call {request.call!r} is not under way any more",
                type="CallNotUnderWay",
                non_retryable=True,
            )
        encoded = workflow.payload_converter().to_payload(build()).data
        data = base64.b64encode(zlib.compress(encoded, 1))
        size = payload_limit() // 2
        start = request.page * size
        return InputPage(pages=max(1, -(-len(data) // size)), data=data[start : start + size].decode())


def _step(config: RunnableConfig) -> int:
    return int(config.get("metadata", {}).get("langgraph_step", 0))


def _node_input(input: Any, config: RunnableConfig, nested: list[SavedCheckpoint]) -> NodeInput:
    conf = configurable(config)
    scratch: PregelScratchpad = conf[CONFIG_KEY_SCRATCHPAD]
    runtime: Runtime[Any] = conf[CONFIG_KEY_RUNTIME]
    portable = {k: v for k, v in conf.items() if k in _INTERNAL_KEYS or not k.startswith("__")}
    metadata = {
        k: v for k, v in config.get("metadata", {}).items() if k != METADATA_KEY and isinstance(v, _PLAIN)
    }
    return NodeInput(
        value=input,
        config={
            "configurable": portable,
            "metadata": metadata,
            "tags": list(config.get("tags") or ()),
            # What LangGraph has in a node's config: nothing, where nobody named a limit.
            "recursion_limit": conf.get(LIMIT_KEY),
            "run_name": config.get("run_name"),
            "max_concurrency": config.get("max_concurrency"),
        },
        context=runtime.context,
        scratch=Scratch(step=scratch.step, stop=scratch.stop, resume=list(scratch.resume)),
        previous=runtime.previous,
        error=conf.get(CONFIG_KEY_NODE_ERROR),
        nested=nested,
        channels=_channels(input, conf),
    )


def _channels(input: Any, conf: dict[str, Any]) -> dict[str, Any] | None:
    """The state, where LangGraph's tool node reads it from the channels: it does when it is sent nothing but tool calls.
    Every other node has the state in its input."""
    last = input[-1] if isinstance(input, list) and input else None
    if not isinstance(last, dict) or last.get("type") != "tool_call":
        return None
    read = conf[CONFIG_KEY_READ]
    return {name: value for name, value in read(list(read.args[1]), True).items() if name != TASKS}


def _apply(outcome: dict[str, Any], config: RunnableConfig) -> Any:
    """Do in the workflow what the node did to LangGraph in the activity."""
    if writes := outcome.get("writes"):
        configurable(config)[CONFIG_KEY_SEND]([(channel, value) for channel, value in writes])
    if reason := outcome.get("drain"):
        configurable(config)[CONFIG_KEY_RUNTIME].control.request_drain(reason)
    if interrupts := outcome.get("interrupts"):
        raise GraphInterrupt(tuple(interrupts))
    if (command := outcome.get("parent_command")) is not None:
        raise ParentCommand(command)
    return outcome.get("output")
