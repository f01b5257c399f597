"""The bodies of requests, checked. Side: server. What is not known is ignored, as LangGraph's server does."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import BaseModel, Field, field_validator, model_validator

from perdure.contract.run import CancelAction, MultitaskStrategy

__all__ = [
    "AssistantCreate",
    "AssistantLatest",
    "AssistantPatch",
    "AssistantSearch",
    "CancelMany",
    "CheckpointRef",
    "ItemDelete",
    "ItemPut",
    "ItemSearch",
    "Metadata",
    "NamespaceList",
    "RunCreate",
    "StateAt",
    "StateSearch",
    "StateWrite",
    "ThreadCount",
    "ThreadCreate",
    "ThreadPatch",
    "ThreadPrune",
    "ThreadSearch",
    "VersionSearch",
]

Metadata = dict[str, Any]
_StreamMode = Literal[
    "values", "messages", "messages-tuple", "updates", "debug", "tasks", "checkpoints", "custom"
]
_SortOrder = Literal["asc", "desc"]
_Limit = Field(default=10, ge=1, le=1000)
_Offset = Field(default=0, ge=0)
_Id = Field(default=None, min_length=1, max_length=200)


class _Body(BaseModel):
    """A field that is null is one that is not given: clients send them."""

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in cast("dict[str, Any]", value).items() if item is not None}


class CheckpointRef(_Body):
    """A place in a thread's history."""

    checkpoint_id: str | None = None
    checkpoint_ns: str = ""


class ConfigBody(_Body):
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


class CommandBody(_Body):
    """LangGraph's `Command`, as JSON."""

    resume: Any = None
    update: dict[str, Any] | list[tuple[str, Any]] | None = None
    goto: str | dict[str, Any] | list[str | dict[str, Any]] | None = None

    @property
    def is_empty(self) -> bool:
        return self.resume is None and self.update is None and not self.goto


class RunCreate(_Body):
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
    webhook: None = Field(default=None, description="not supported yet")

    @field_validator("stream_mode", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class ThreadCreate(_Body):
    thread_id: str | None = _Id
    metadata: Metadata = Field(default_factory=dict)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    supersteps: list[dict[str, Any]] | None = None


class ThreadPatch(_Body):
    metadata: Metadata = Field(default_factory=dict)


class ThreadCount(_Body):
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


class ThreadPrune(_Body):
    thread_ids: list[str] = Field(max_length=1000)
    strategy: Literal["delete"] = "delete"


class StateWrite(_Body):
    values: Any = None
    as_node: str | None = None
    checkpoint: CheckpointRef | None = None
    checkpoint_id: str | None = None


class StateAt(_Body):
    checkpoint: CheckpointRef
    select: list[str] | None = None


class StateSearch(_Body):
    limit: int = Field(default=10, ge=1, le=1000)
    before: str | CheckpointRef | dict[str, Any] | None = None
    metadata: Metadata | None = None
    checkpoint: CheckpointRef | None = None
    select: list[str] | None = None


class CancelMany(_Body):
    thread_id: str | None = None
    run_ids: list[str] | None = None
    status: Literal["pending", "running", "all"] | None = None


class CancelOptions(_Body):
    wait: bool = False
    action: CancelAction = "interrupt"


class AssistantCreate(_Body):
    graph_id: str
    assistant_id: str | None = _Id
    config: ConfigBody = Field(default_factory=ConfigBody)
    context: dict[str, Any] = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    name: str = "Untitled"
    description: str | None = None


class AssistantPatch(_Body):
    graph_id: str | None = None
    config: ConfigBody | None = None
    context: dict[str, Any] | None = None
    metadata: Metadata | None = None
    name: str | None = None
    description: str | None = None


class AssistantSearch(_Body):
    metadata: Metadata | None = None
    graph_id: str | None = None
    name: str | None = None
    limit: int = _Limit
    offset: int = _Offset
    sort_by: Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"] | None = None
    sort_order: _SortOrder | None = None
    select: list[str] | None = None


class AssistantLatest(_Body):
    version: int


class VersionSearch(_Body):
    metadata: Metadata | None = None
    limit: int = _Limit
    offset: int = _Offset


class ItemPut(_Body):
    namespace: list[str] = Field(min_length=1)
    key: str
    value: dict[str, Any]
    index: Literal[False] | list[str] | None = None
    ttl: float | None = None


class ItemDelete(_Body):
    namespace: list[str] = Field(min_length=1)
    key: str


class ItemSearch(_Body):
    namespace_prefix: list[str] = Field(default_factory=list)
    filter: dict[str, Any] | None = None
    limit: int = _Limit
    offset: int = _Offset
    query: str | None = None
    refresh_ttl: bool | None = None


class NamespaceList(_Body):
    prefix: list[str] | None = None
    suffix: list[str] | None = None
    max_depth: int | None = Field(default=None, ge=1)
    limit: int = Field(default=100, ge=1, le=1000)
    offset: int = _Offset
