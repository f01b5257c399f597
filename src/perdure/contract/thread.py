"""A thread and its runs, as clients, workflows and the Temporal UI see them.

Side: contract. A *thread* is one workflow (its workflow id is the thread id). A *run* is one input driven through the
graph to its end. New fields need a default: histories that were written before must still decode.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from perdure.contract.budget import Budget, BudgetBook
from perdure.contract.effect import EffectEntry, PlaceBook
from perdure.contract.run import MultitaskStrategy, RunRecord
from perdure.contract.trace import TraceContext

__all__ = [
    "DEFAULT_CARRY",
    "DEFAULT_KEEP",
    "Answer",
    "CarryOver",
    "PendingInterrupt",
    "RunRequest",
    "RunStatus",
    "SavedCheckpoint",
    "SavedEnd",
    "ThreadStart",
    "ThreadState",
    "TtlStrategy",
]

DEFAULT_CARRY = 175
"""After how many node calls a thread continues as new, where nothing else is said: a replay then takes less than 2 s."""

DEFAULT_KEEP = 50
"""How many checkpoints a thread keeps, where nothing else is said."""

TtlStrategy = Literal["delete", "keep_latest"]
RunStatus = Literal["idle", "running", "interrupted", "completed", "failed", "cancelled"]


@dataclass(frozen=True)
class RunRequest:
    """One run: the graph's input (or `None` to go on from where the thread stands), config and context.

    `config` holds what a user may set of LangChain's `RunnableConfig`: configurable, tags, metadata, recursion_limit,
    max_concurrency, run_name. `checkpoint_id` names an earlier checkpoint that the run starts from, instead of the latest.

    `expires_in` are the seconds that it has from when the thread takes it, `expires_at` what that comes to (seconds since
    the epoch, workflow time). `approval_timeout`: seconds after which a question that names no deadline fails the run.
    `graph` is for a thread that was made without one, or that changes it. With `ends_when_interrupted` a run that asks for
    something ends there, as in LangGraph's own server; the answer is the input of another run. `stream` names the stream
    modes that are published while it runs, those of `subgraphs` too. `webhook` is a URL that is told how it ended, `trace` what
    its spans belong to. `thread_since` is when the thread was made that a cron's run is for: one that was made later under the
    same id is another.
    """

    id: str
    input: Any = None
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    context: Any = None
    checkpoint_id: str | None = None
    budget: Budget | None = None
    expires_in: float | None = None
    expires_at: float | None = None
    approval_timeout: float | None = None
    graph: str = ""
    ends_when_interrupted: bool = False
    interrupt_before: list[str] | str | None = None
    interrupt_after: list[str] | str | None = None
    multitask_strategy: MultitaskStrategy = "enqueue"
    assistant_id: str = ""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    stream: list[str] = field(default_factory=list[str])
    subgraphs: bool = False
    wait_until: float | None = None
    trace: TraceContext | None = None
    webhook: str = ""
    thread_since: float | None = None


@dataclass(frozen=True)
class SavedCheckpoint:
    """One checkpoint of a namespace with its pending writes, as LangGraph's saver interface knows them.

    Channel values that the namespace's checkpoint before this one has, too, are only named: `same` are unchanged,
    `lists` are told by their pieces (`[start, stop, new]`: items of the list before, then new ones).
    """

    namespace: str
    checkpoint: Any
    metadata: Any
    parent_id: str | None
    writes: list[Any]
    same: list[str] = field(default_factory=list[str])
    lists: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])


@dataclass(frozen=True)
class PendingInterrupt:
    """An `interrupt()` that waits for its answer.

    `created_at` and `expires_at` are seconds since the epoch in workflow time; `expires_at` is `None` when the
    interrupt named no deadline and there is no default. `on_expiry` is the answer that the deadline gives in a human's place,
    unless the run `fails` then.
    """

    id: str
    value: Any
    node: str = ""
    created_at: float = 0.0
    expires_at: float | None = None
    on_expiry: Any = None
    fails: bool = False


@dataclass(frozen=True)
class SavedEnd:
    """How a run ended: its result as a payload's text, or the type, message and details of the failure."""

    run_id: str
    encoding: str = ""
    data: str = ""
    failed: str | None = None
    message: str = ""
    details: Any = None


@dataclass(frozen=True)
class CarryOver:
    """All that a thread takes along when it continues as new. One object, built and restored in one place.

    `ticks` is the clock reading of the last checkpoint id: ids go on growing. `compensate` tells that nothing is left but
    to undo `effects`: the workflow run before was stopped from outside. `stops` is the step at which each graph under way
    must have ended, by namespace (`stop_at_step`: as older histories tell the root's). `past_effects` are those of earlier
    runs, in short.
    """

    checkpoints: list[SavedCheckpoint] = field(default_factory=list[SavedCheckpoint])
    run: RunRequest | None = None
    pending: list[PendingInterrupt] = field(default_factory=list[PendingInterrupt])
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    asking: bool = False
    stop_at_step: int | None = None
    queued: list[RunRequest] = field(default_factory=list[RunRequest])
    nested: dict[str, list[SavedCheckpoint]] = field(default_factory=dict[str, list[SavedCheckpoint]])
    calls: int = 0
    ticks: int = 0
    ends: list[SavedEnd] = field(default_factory=list[SavedEnd])
    compensate: bool = False
    effects: list[EffectEntry] = field(default_factory=list[EffectEntry])
    places: PlaceBook = field(default_factory=PlaceBook)
    stops: dict[str, int] = field(default_factory=dict[str, int])
    past_effects: list[EffectEntry] = field(default_factory=list[EffectEntry])
    budgets: BudgetBook | None = None
    model_answers: dict[str, list[list[str]]] = field(default_factory=dict[str, list[list[str]]])
    graph: str = ""
    metadata: dict[str, Any] | None = None
    runs: list[RunRecord] = field(default_factory=list[RunRecord])
    published: int = 0
    root: str = ""
    last: RunRequest | None = None


@dataclass(frozen=True)
class ThreadStart:
    """A thread's workflow input. `keep_open` threads stay for further runs; others end with their run's result.

    `search` tells that the namespace has Perdure's search attributes (writing one that is not registered would hold the
    workflow for ever). `carry_every` continues as new after that many node calls; 0 leaves it to Temporal's suggestion.
    `keep_checkpoints` is how many checkpoints one can look back at and fork from. `metadata` is what lists of threads are
    filtered by, and `None` for a thread that was not made by the HTTP server. `graph` may be empty then: the first run
    names it. A `temporary` thread ends with its first run. One that nobody has used for `ttl_seconds` is deleted, or keeps its
    latest checkpoint alone. `search_asked`: there is the search attribute for the time of the oldest question, too.
    `dated_at_rest`: lists tell when it came to rest, not when it began to run.
    """

    graph: str
    run: RunRequest | None = None
    keep_open: bool = False
    search: bool = False
    carry_every: int = 0
    keep_checkpoints: int = DEFAULT_KEEP
    carry: CarryOver | None = None
    thread_budget: Budget | None = None
    metadata: dict[str, Any] | None = None
    temporary: bool = False
    ttl_seconds: float | None = None
    ttl_strategy: TtlStrategy = "delete"
    search_asked: bool = False
    dated_at_rest: bool = False


@dataclass(frozen=True)
class ThreadState:
    """A thread as of now: channel values, the nodes that run next, and the interrupts that wait.

    `values` is `None`, and `error` says so, where they are too large to send. `usage` tells of the "run" and the "thread".
    """

    graph: str
    status: RunStatus
    values: Any = None
    next: tuple[str, ...] = ()
    interrupts: tuple[PendingInterrupt, ...] = ()
    run_id: str | None = None
    step: int = 0
    error: str | None = None
    keep_open: bool = False
    usage: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True)
class Answer:
    """A human's (or program's) answer to one or several interrupts.

    `value` is a mapping from interrupt id to answer, or the answer itself when just one interrupt waits. `trace` is the W3C
    `traceparent` of whoever answers.
    """

    value: Any
    trace: str = ""
