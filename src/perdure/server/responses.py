"""What the OpenAPI document says of errors. Side: server."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

__all__ = ["ERRORS", "Problem"]


class FieldProblem(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """Every error's body. `errors`: the fields that do not fit."""

    detail: str
    errors: list[FieldProblem] | None = None


_TOLD = {
    400: "What was asked for contradicts itself",
    401: "It is not known who asks",
    403: "Whoever asks may not",
    404: "Not there, or not for whoever asks",
    409: "Something is in the way",
    413: "Too large",
    415: "The body is no JSON",
    422: "The request does not fit; `errors` names the fields",
    429: "Temporal has too much to do",
    501: "This server is not set up for it",
    503: "Temporal, or every worker, does not answer",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": told} for status, told in _TOLD.items()
}
