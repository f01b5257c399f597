"""Which web pages may use the server: `http.cors` of `langgraph.json`.

Side: server. Without it, pages that this machine itself serves. `langgraph dev` lets in every page on the web; whoever wants
that writes `"allow_origins": ["*"]`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

__all__ = ["Cors"]

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

    def middleware(self) -> Middleware:
        own = not self.allow_origins and self.allow_origin_regex is None
        return Middleware(
            CORSMiddleware,
            allow_origins=self.allow_origins,
            allow_origin_regex=_LOOPBACK if own else self.allow_origin_regex,
            allow_methods=self.allow_methods,
            allow_headers=self.allow_headers,
            allow_credentials=self.allow_credentials,
            expose_headers=[*_EXPOSED, *self.expose_headers],
            max_age=self.max_age,
        )
