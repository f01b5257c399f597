"""The `http` section of `langgraph.json`. Side: server. What is not known of it is other tools' business."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import BaseModel, Field, ValidationError, field_validator

from perdure.errors import ConfigError
from perdure.server.cors import Cors
from perdure.server.headers import HeaderPatterns

__all__ = ["HttpSettings", "http_settings"]

_STARTING_RUNS = ("mcp", "a2a", "openai")


class HeaderNames(BaseModel):
    """LangGraph's documents have the one spelling, its examples the other."""

    include: list[str] = Field(default_factory=list)
    includes: list[str] = Field(default_factory=list)
    exclude: list[str] = Field(default_factory=list)
    excludes: list[str] = Field(default_factory=list)

    @property
    def patterns(self) -> HeaderPatterns:
        return HeaderPatterns([*self.include, *self.includes], [*self.exclude, *self.excludes])


class HttpSettings(BaseModel):
    """As in `langgraph.json`. `app` is the place in code of the project's own routes."""

    app: str | None = None
    cors: Cors = Field(default_factory=Cors)
    mount_prefix: str = ""
    configurable_headers: HeaderNames = Field(default_factory=HeaderNames)
    logging_headers: HeaderNames = Field(default_factory=HeaderNames)
    enable_custom_route_auth: bool = False
    middleware_order: Literal["auth_first", "middleware_first"] = "middleware_first"
    disable_assistants: bool = False
    disable_threads: bool = False
    disable_runs: bool = False
    disable_store: bool = False
    disable_meta: bool = False
    disable_mcp: bool = False
    disable_a2a: bool = False
    disable_webhooks: bool = False
    disable_openai: bool = False

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_not_given(cls, value: Any, info: Any) -> Any:
        return (
            cls.model_fields[info.field_name].get_default(call_default_factory=True)
            if value is None
            else value
        )

    @field_validator("mount_prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        if value and (not value.startswith("/") or value.endswith("/")):
            raise ValueError("must start with '/' and not end with it, such as '/agents'")
        return value

    def disabled(self, part: str) -> bool:
        """Without runs there are no other ways to start one, either."""
        if part in _STARTING_RUNS and self.disable_runs:
            return True
        return bool(getattr(self, f"disable_{part}", False))


def http_settings(http: Any) -> HttpSettings:
    """Raises ConfigError."""
    section: Any = {} if http is None else http
    if not isinstance(section, dict):
        raise ConfigError("langgraph.json: http: must be an object")
    try:
        return HttpSettings.model_validate(cast("dict[str, Any]", section))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("http", *first["loc"]))
        raise ConfigError(f"langgraph.json: {where}: {first['msg']}") from error
