"""The bodies of requests, checked. Side: server. What is not known is ignored, as LangGraph's server does."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import BaseModel, Field, field_validator, model_validator

from perdure.contract.run import CancelAction, MultitaskStrategy
from perdure.server.extraction import path_of

__all__ = [
    "AssistantCreate",
    "AssistantLatest",
    "AssistantPatch",
    "AssistantSearch",
    "Body",
    "CancelMany",
    "CheckpointRef",
    "ItemDelete",
    "ItemPut",
    "ItemSearch",
    "Metadata",
    "NamespaceList",
    "RunCreate",
    "StateAt",
    "StateBulk",
    "StateSearch",
    "StateWriteAs",
    "Superstep",
    "ThreadCount",
    "ThreadCreate",
    "ThreadPatch",
    "ThreadPrune",
    "ThreadSearch",
    "TtlBody",
    "VersionSearch",
]

Metadata = dict[str, Any]
_StreamMode = Literal[
    "values", "messages", "messages-tuple", "updates", "debug", "tasks", "checkpoints", "custom", "events"
]
_SortOrder = Literal["asc", "desc"]
_Limit = Field(default=10, ge=1, le=1000)
_Offset = Field(default=0, ge=0)
_Id = Field(default=None, min_length=1, max_length=200)


class Body(BaseModel):
    """A field that is null is one that is not given: clients send them."""

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in cast("dict[str, Any]", value).items() if item is not None}


class CheckpointRef(Body):
    """A place in a thread's history."""

    checkpoint_id: str | None = None
    checkpoint_ns: str = ""


class ConfigBody(Body):
    """What a request may set of a RunnableConfig."""

    tags: list[str] | None = None
    recursion_limit: int | None = Field(default=None, ge=1, le=1_000_000)
    max_concurrency: int | None = Field(default=None, ge=1)
    run_name: str | None = None
    configurable: dict[str, Any] = Field(default_factory=dict)
    metadata: Metadata | None = None

    @field_validator("configurable")
    @classmethod
    def _without_users(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Who asks is the server's to say."""
        return {key: item for key, item in value.items() if not key.startswith("langgraph_auth_")}

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True, exclude_defaults=True)


class CommandBody(Body):
    """LangGraph's `Command`, as JSON."""

    resume: Any = None
    update: dict[str, Any] | list[tuple[str, Any]] | None = None
    goto: str | dict[str, Any] | list[str | dict[str, Any]] | None = None

    @property
    def is_empty(self) -> bool:
        return self.resume is None and self.update is None and not self.goto


class RunCreate(Body):
    """A run to start."""

    assistant_id: str = Field(min_length=1)
    thread_id: str | None = None
    input: Any = None
    command: CommandBody | None = None
    config: ConfigBody = Field(default_factory=ConfigBody)
    context: dict[str, Any] | None = None
    metadata: Metadata = Field(default_factory=dict)
    checkpoint: CheckpointRef | None = None
    checkpoint_id: str | None = None
    stream_mode: list[_StreamMode] = Field(default_factory=lambda: ["values"])
    stream_subgraphs: bool = False
    interrupt_before: Literal["*"] | list[str] | None = None
    interrupt_after: Literal["*"] | list[str] | None = None
    multitask_strategy: MultitaskStrategy = "enqueue"
    if_not_exists: Literal["create", "reject"] = "reject"
    on_disconnect: Literal["cancel", "continue"] = "continue"
    on_completion: Literal["delete", "keep"] = "delete"
    after_seconds: float = Field(default=0, ge=0, le=366 * 86_400)
    webhook: str = ""

    @field_validator("stream_mode", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class StateWriteBody(Body):
    """One write of a superstep."""

    values: Any = None
    command: CommandBody | None = None
    as_node: str | None = None


class Superstep(Body):
    updates: list[StateWriteBody] = Field(min_length=1)


class TtlBody(Body):
    """`ttl` in minutes, counted from when the thread was last used."""

    ttl: float = Field(gt=0, le=10 * 366 * 24 * 60)
    strategy: Literal["delete", "keep_latest"] = "delete"


class ThreadCreate(Body):
    thread_id: str | None = _Id
    metadata: Metadata = Field(default_factory=dict)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    supersteps: list[Superstep] = Field(default_factory=list, max_length=1000)
    ttl: TtlBody | None = None


class ThreadPatch(Body):
    metadata: Metadata = Field(default_factory=dict)


class ThreadCount(Body):
    metadata: Metadata | None = None
    values: dict[str, Any] | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None


class ThreadSearch(ThreadCount):
    ids: list[str] | None = Field(default=None, max_length=100)
    limit: int = _Limit
    offset: int = _Offset
    sort_by: Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] | None = None
    sort_order: _SortOrder | None = None
    select: list[str] | None = None
    extract: dict[str, str] | None = Field(default=None, max_length=10)

    @field_validator("extract")
    @classmethod
    def _paths(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        for path in (value or {}).values():
            path_of(path)
        return value


class ThreadPrune(Body):
    thread_ids: list[str] = Field(max_length=1000)
    strategy: Literal["delete", "keep_latest"] = "delete"


class StateWriteAs(Body):
    values: Any = None
    as_node: str | None = None
    checkpoint: CheckpointRef | None = None
    checkpoint_id: str | None = None


class StateBulk(Body):
    supersteps: list[Superstep] = Field(min_length=1, max_length=1000)


class StateAt(Body):
    checkpoint: CheckpointRef
    subgraphs: bool = False
    select: list[str] | None = None


class StateSearch(Body):
    limit: int = Field(default=10, ge=1, le=1000)
    before: str | CheckpointRef | dict[str, Any] | None = None
    metadata: Metadata | None = None
    checkpoint: CheckpointRef | None = None
    select: list[str] | None = None


class CancelMany(Body):
    thread_id: str | None = None
    run_ids: list[str] | None = None
    status: Literal["pending", "running", "all"] | None = None


class CancelOptions(Body):
    wait: bool = False
    action: CancelAction = "interrupt"


class AssistantCreate(Body):
    graph_id: str
    assistant_id: str | None = _Id
    config: ConfigBody = Field(default_factory=ConfigBody)
    context: dict[str, Any] = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    name: str = "Untitled"
    description: str | None = None


class AssistantPatch(Body):
    graph_id: str | None = None
    config: ConfigBody | None = None
    context: dict[str, Any] | None = None
    metadata: Metadata | None = None
    name: str | None = None
    description: str | None = None


class AssistantSearch(Body):
    metadata: Metadata | None = None
    graph_id: str | None = None
    name: str | None = None
    limit: int = _Limit
    offset: int = _Offset
    sort_by: Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"] | None = None
    sort_order: _SortOrder | None = None
    select: list[str] | None = None


class AssistantLatest(Body):
    version: int


class VersionSearch(Body):
    metadata: Metadata | None = None
    limit: int = _Limit
    offset: int = _Offset


class ItemPut(Body):
    namespace: list[str] = Field(min_length=1)
    key: str
    value: dict[str, Any]
    index: Literal[False] | list[str] | None = None
    ttl: float | None = None


class ItemDelete(Body):
    namespace: list[str] = Field(min_length=1)
    key: str


class ItemSearch(Body):
    namespace_prefix: list[str] = Field(default_factory=list)
    filter: dict[str, Any] | None = None
    limit: int = _Limit
    offset: int = _Offset
    query: str | None = None
    refresh_ttl: bool | None = None


class NamespaceList(Body):
    prefix: list[str] | None = None
    suffix: list[str] | None = None
    max_depth: int | None = Field(default=None, ge=1)
    limit: int = Field(default=100, ge=1, le=1000)
    offset: int = _Offset
