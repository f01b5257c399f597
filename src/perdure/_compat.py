"""Every private symbol of LangGraph, LangChain and Temporal that Perdure uses, and the few that it replaces.

Nothing else in the project names a private upstream symbol, but for `_compat_models.py` those of chat models. `tests/test_compat.py` pins each one, so that an upstream
release which moves one fails there, with the name, and not in somebody's run.

Replacements (`install`) are for graphs that run inside a workflow, and for the model calls of an attempt of a node. Each
looks at `graph_ids` or `model_caller`: where that is unset (everywhere else) the original is called, so a plain LangGraph
run in the same process is untouched.
"""

from __future__ import annotations

import asyncio
import copy
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, cast

import langgraph.graph.message as _graph_message
import langgraph.pregel._checkpoint as _pregel_checkpoint
import langgraph.pregel._executor as _pregel_executor
import langgraph.pregel._messages as _pregel_messages
import langgraph.pregel._retry as _pregel_retry
import langgraph.pregel._runner as _pregel_runner
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph._internal._config import DEFAULT_RECURSION_LIMIT, recast_checkpoint_ns
from langgraph._internal._constants import (
    CONF,
    CONFIG_KEY_CALL,
    CONFIG_KEY_CHECKPOINT_ID,
    CONFIG_KEY_CHECKPOINT_MAP,
    CONFIG_KEY_CHECKPOINT_NS,
    CONFIG_KEY_CHECKPOINTER,
    CONFIG_KEY_DURABILITY,
    CONFIG_KEY_NODE_ERROR,
    CONFIG_KEY_READ,
    CONFIG_KEY_RESUME_MAP,
    CONFIG_KEY_RESUMING,
    CONFIG_KEY_RUNTIME,
    CONFIG_KEY_SCRATCHPAD,
    CONFIG_KEY_SEND,
    CONFIG_KEY_TASK_ID,
    CONFIG_KEY_THREAD_ID,
    INTERRUPT,
    NS_END,
    NS_SEP,
    PREVIOUS,
    PUSH,
    TASKS,
)
from langgraph._internal._runnable import RunnableCallable, RunnableSeq, set_config_context
from langgraph._internal._scratchpad import PregelScratchpad
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.serde.types import (
    _DeltaSnapshot as DeltaSnapshot,  # pyright: ignore[reportPrivateUsage]
)
from langgraph.errors import ParentCommand
from langgraph.func import _TaskFunction as TaskFunction  # pyright: ignore[reportPrivateUsage]
from langgraph.graph._branch import BranchSpec
from langgraph.pregel import Pregel
from langgraph.pregel._algo import LazyAtomicCounter
from langgraph.pregel._call import get_runnable_for_task
from langgraph.pregel._messages import StreamMessagesHandler
from langgraph.pregel._read import DEFAULT_BOUND, PregelNode
from langgraph.pregel._tools import StreamToolCallHandler
from langgraph.pregel._write import ChannelWrite, ChannelWriteEntry
from langgraph.types import PregelExecutableTask, TimeoutPolicy
from langgraph_sdk import Auth
from temporalio.client import WorkflowHandle
from temporalio.converter import DataConverter

from perdure._compat_models import MODELS_REPLACED

if TYPE_CHECKING:
    from temporalio.worker import Worker

__all__ = [
    "ACTIVITY_MARK",
    "CONF",
    "CONFIG_KEY_CALL",
    "CONFIG_KEY_CHECKPOINTER",
    "CONFIG_KEY_CHECKPOINT_ID",
    "CONFIG_KEY_CHECKPOINT_MAP",
    "CONFIG_KEY_CHECKPOINT_NS",
    "CONFIG_KEY_DURABILITY",
    "CONFIG_KEY_NODE_ERROR",
    "CONFIG_KEY_READ",
    "CONFIG_KEY_RESUME_MAP",
    "CONFIG_KEY_RESUMING",
    "CONFIG_KEY_RUNTIME",
    "CONFIG_KEY_SCRATCHPAD",
    "CONFIG_KEY_SEND",
    "CONFIG_KEY_TASK_ID",
    "CONFIG_KEY_THREAD_ID",
    "DEFAULT_BOUND",
    "DEFAULT_RECURSION_LIMIT",
    "INTERRUPT",
    "NS_END",
    "NS_SEP",
    "PREVIOUS",
    "PUSH",
    "REPLACED",
    "TASKS",
    "ChannelWrite",
    "ChannelWriteEntry",
    "DeltaChannel",
    "DeltaSnapshot",
    "GraphIds",
    "LazyAtomicCounter",
    "ParentCommand",
    "Pregel",
    "PregelNode",
    "PregelScratchpad",
    "RunnableCallable",
    "RunnableSeq",
    "StreamMessagesHandler",
    "StreamToolCallHandler",
    "TaskFunction",
    "auth_handler",
    "authenticate_handler",
    "configurable",
    "get_runnable_for_task",
    "graph_ids",
    "install",
    "is_activity",
    "recast_checkpoint_ns",
    "run_in_time",
    "set_config_context",
    "untraced",
]

ACTIVITY_MARK = "__temporal_activity_definition"
"""Where `@activity.defn` leaves its definition on a function."""


def untraced(writer: Any) -> Any:
    """A conditional edge whose router is called as it is, without LangChain's callbacks around it; any other writer unchanged."""
    branch = getattr(getattr(writer, "afunc", None), "__self__", None)
    if not isinstance(branch, BranchSpec) or type(branch.path) is not RunnableCallable:
        return writer
    path, edge = copy.copy(branch.path), copy.copy(writer)
    path.trace = False
    quiet = branch._replace(path=path)
    edge.func, edge.afunc = quiet._route, quiet._aroute  # pyright: ignore[reportPrivateUsage]
    return edge


def configurable(config: RunnableConfig) -> dict[str, Any]:
    """The `configurable` of a config that LangGraph made; it always has one."""
    return config.get("configurable", {})


class GraphIds(Protocol):
    """Ids and randomness for one graph run that come out the same at every replay."""

    def uuid4(self) -> uuid.UUID: ...
    def uuid6(self, clock_seq: int | None) -> uuid.UUID: ...
    def uniform(self, low: float, high: float) -> float: ...
    def now(self) -> float: ...


graph_ids: ContextVar[GraphIds | None] = ContextVar("perdure_graph_ids", default=None)
"""Set while a graph runs inside a workflow; what a task of that graph starts inherits it."""

_original_uuid6 = cast(Callable[..., uuid.UUID], _pregel_checkpoint.uuid6)
_run_in_time = _pregel_retry._arun_with_timeout  # pyright: ignore[reportPrivateUsage]
_resolve_timeout = _pregel_retry._resolve_timeout  # pyright: ignore[reportPrivateUsage]
_original_executor_init = cast(Callable[..., None], _pregel_executor.BackgroundExecutor.__init__)


def _uuid4() -> uuid.UUID:
    ids = graph_ids.get()
    return uuid.uuid4() if ids is None else ids.uuid4()


def _uuid6(node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
    ids = graph_ids.get()
    return _original_uuid6(node, clock_seq) if ids is None else ids.uuid6(clock_seq)


def _uniform(low: float, high: float) -> float:
    ids = graph_ids.get()
    return random.uniform(low, high) if ids is None else ids.uniform(low, high)


def _monotonic() -> float:
    ids = graph_ids.get()
    return time.monotonic() if ids is None else ids.now()


def _time() -> float:
    ids = graph_ids.get()
    return time.time() if ids is None else ids.now()


async def _wait(fs: Iterable[Any], **kwargs: Any) -> tuple[Any, Any]:
    """`asyncio.wait`, whose sets iterate in the order of `fs` when a graph runs in a workflow: the runner starts error
    handlers in that order, and a set of futures iterates by memory address."""
    order = list(fs)
    done, pending = await asyncio.wait(order, **kwargs)
    if graph_ids.get() is None:
        return done, pending
    return [f for f in order if f in done], [f for f in order if f in pending]


def _executor_init(self: Any, *args: Any, **kwargs: Any) -> None:
    if graph_ids.get() is not None:
        raise RuntimeError(
            "a graph was run with the synchronous invoke()/stream() inside a workflow, which would start threads: "
            "use `await graph.ainvoke(...)`, or let the node run as an activity"
        )
    _original_executor_init(self, *args, **kwargs)


class _ModuleWith(ModuleType):
    """A module with some names replaced; everything else is looked up in the original."""

    def __init__(self, original: ModuleType, replaced: Mapping[str, Any]) -> None:
        super().__init__(original.__name__)
        self.__dict__.update(replaced)
        self.__dict__["_original"] = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_original"], name)


REPLACED: Mapping[tuple[Any, str], Any] = {
    (_pregel_checkpoint, "uuid6"): _uuid6,
    (_pregel_messages, "uuid4"): _uuid4,
    (_graph_message, "uuid"): _ModuleWith(uuid, {"uuid4": _uuid4}),
    (_pregel_retry, "random"): _ModuleWith(random, {"uniform": _uniform}),
    (_pregel_retry, "time"): _ModuleWith(time, {"monotonic": _monotonic, "time": _time}),
    (_pregel_runner, "asyncio"): _ModuleWith(asyncio, {"wait": _wait}),
    (_pregel_executor.BackgroundExecutor, "__init__"): _executor_init,
    **MODELS_REPLACED,
}
"""Where LangGraph itself is not deterministic, where LangChain calls a chat model, and what stands there instead."""


def is_activity(function: Any) -> bool:
    """Whether that is a function decorated as a Temporal activity."""
    return hasattr(function, ACTIVITY_MARK)


def authenticate_handler(auth: Auth) -> Any:
    """The project's `@auth.authenticate`, or `None`."""
    return auth._authenticate_handler  # pyright: ignore[reportPrivateUsage]


def auth_handler(auth: Auth, resource: str, action: str) -> Any:
    """The most specific of the project's `@auth.on` handlers, or `None`."""
    handlers: Mapping[tuple[str, str], list[Any]] = auth._handlers  # pyright: ignore[reportPrivateUsage]
    for key in ((resource, action), (resource, "*"), ("*", action), ("*", "*")):
        if key in handlers:
            return handlers[key][-1]
    everywhere: list[Any] = auth._global_handlers  # pyright: ignore[reportPrivateUsage]
    return everywhere[-1] if everywhere else None


def data_converter_of(handle: WorkflowHandle[Any, Any]) -> DataConverter:
    """What a workflow handle encodes with."""
    return handle._data_converter  # pyright: ignore[reportPrivateUsage]


def be_patient(worker: Worker, seconds: int) -> None:
    """How long a workflow task may take before the SDK interrupts it. Has to be said before the worker runs."""
    workflow_worker = worker._workflow_worker  # pyright: ignore[reportPrivateUsage]
    if workflow_worker is not None and workflow_worker._deadlock_timeout_seconds is not None:  # pyright: ignore[reportPrivateUsage]
        workflow_worker._deadlock_timeout_seconds = seconds  # pyright: ignore[reportPrivateUsage]


def install() -> None:
    """Put the replacements in place. Any number of calls have the effect of one."""
    for (owner, name), value in REPLACED.items():
        setattr(owner, name, value)


async def run_in_time(
    name: str, body: Runnable[Any, Any], value: Any, config: RunnableConfig, limits: TimeoutPolicy
) -> Any:
    """Run a node's body within LangGraph's own time limits.

    Raises:
        NodeTimeoutError: when it took too long, or made no progress for too long.
    """
    task = PregelExecutableTask(
        name=name,
        input=value,
        proc=body,
        writes=deque(),
        config=config,
        triggers=(),
        retry_policy=(),
        cache_key=None,
        id=configurable(config)[CONFIG_KEY_TASK_ID],
        path=(),
    )
    return await _run_in_time(task, config, _resolve_timeout(limits), None, stream=False)
