"""Which web pages may use the server: `http.cors` of `langgraph.json`.

Side: server. Without it, pages that this machine itself serves. `langgraph dev` lets in every page on the web; whoever wants
that writes `"allow_origins": ["*"]`.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.middleware.cors import CORSMiddleware

from perdure.errors import ConfigError

__all__ = ["Cors", "cors_of"]

_LOOPBACK = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
# What clients read of an answer.
_EXPOSED = ["Content-Location", "Location", "X-Pagination-Next", "X-Pagination-Total"]


class Cors(BaseModel):
    """As in `langgraph.json`."""

    model_config = ConfigDict(extra="forbid")

    allow_origins: list[str] = Field(default_factory=list)
    allow_origin_regex: str | None = None
    allow_methods: list[str] = ["*"]
    allow_headers: list[str] = ["*"]
    allow_credentials: bool = False
    expose_headers: list[str] = Field(default_factory=list)
    max_age: int = 600

    def install(self, app: FastAPI) -> None:
        own = not self.allow_origins and self.allow_origin_regex is None
        app.add_middleware(
            CORSMiddleware,
            allow_origins=self.allow_origins,
            allow_origin_regex=_LOOPBACK if own else self.allow_origin_regex,
            allow_methods=self.allow_methods,
            allow_headers=self.allow_headers,
            allow_credentials=self.allow_credentials,
            expose_headers=[*_EXPOSED, *self.expose_headers],
            max_age=self.max_age,
        )


def cors_of(http: Any) -> Cors:
    """The settings, from the `http` section of `langgraph.json`. Raises ConfigError."""
    section: Any = http.get("cors") if isinstance(http, dict) else None
    try:
        return Cors() if section is None else Cors.model_validate(section)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("http", "cors", *first["loc"]))
        raise ConfigError(f"langgraph.json: {where}: {first['msg']}") from error
