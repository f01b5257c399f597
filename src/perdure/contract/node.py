"""A node call: what a workflow hands to the activity that runs one attempt of a node, and what comes back.

Side: contract. The node's input is *not* in here: it can be derived by replaying the history, so an activity takes it
from the worker's memory or asks the workflow for it (`InputRequest`). What is here is what a person wants to read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from perdure.contract.budget import BudgetLeft
from perdure.contract.thread import SavedCheckpoint

__all__ = ["NODE_STREAMS", "InputPage", "InputRequest", "NodeCall", "NodeInput", "Scratch"]

NODE_STREAMS = ("messages", "messages-tuple", "custom", "speech", "tools", "events")
"""Stream modes whose events come from where a node runs."""


@dataclass(frozen=True)
class NodeCall:
    """Names one call of one node of one graph. `path` leads through subgraphs: ["agent", "model"]. `left` is what it may use.
    `answers` are those that its models gave before it asked a person something, or was stopped for want of budget. `stream`
    are the modes of `run` that the attempt is to publish, and "subgraphs" if those of subgraphs are wanted too. `attempts` is
    how many may fail, where Temporal is told of more (0: as many as Temporal knows). `trace` is the W3C `traceparent` of the
    call's span, empty where nothing is traced."""

    graph: str
    path: list[str]
    step: int
    call: str
    new: dict[str, str] = field(default_factory=dict[str, str])
    explicit_retry: bool = False
    left: BudgetLeft | None = None
    answers: list[list[str]] = field(default_factory=list[list[str]])
    run: str = ""
    stream: list[str] = field(default_factory=list[str])
    attempts: int = 0
    trace: str = ""


@dataclass(frozen=True)
class Scratch:
    """What `interrupt()` needs of LangGraph's scratchpad: the answers that the task already has."""

    step: int
    stop: int
    resume: list[Any]


@dataclass(frozen=True)
class NodeInput:
    """A node's real input, by reference inside one process and by value between processes.

    `config` is the task's RunnableConfig without live objects; `context` the run's context; `previous` the last return
    value of an entrypoint; `error` the failure that an error handler node is asked to handle; `nested` the
    checkpoints of graphs that the node runs by itself, where those stopped at an interrupt the last time; `channels` the
    state, for a tool node that was sent tool calls alone.
    """

    value: Any
    config: dict[str, Any]
    context: Any
    scratch: Scratch
    previous: Any = None
    error: Any = None
    nested: list[SavedCheckpoint] = field(default_factory=list[SavedCheckpoint])
    channels: dict[str, Any] | None = None


@dataclass(frozen=True)
class InputRequest:
    call: str
    page: int = 0


@dataclass(frozen=True)
class InputPage:
    """One page of a `NodeInput`: encoded, compressed with zlib, base64."""

    pages: int
    data: str
