"""LangChain's agent protocol: how it says what went wrong with a command. Side: server."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from perdure.errors import InterruptUnknown, PerdureError

__all__ = ["PROBLEMS", "Refused", "problem"]


class Refused(Exception):
    """`code` is the protocol's word for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def problem(error: Exception) -> tuple[str, str]:
    """The protocol's code and a text, for what may go wrong with a command."""
    if isinstance(error, Refused):
        return error.code, str(error)
    if isinstance(error, ValidationError):
        found: list[Any] = list(error.errors())
        told = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in found)
        return "invalid_argument", told
    if isinstance(error, HTTPException):
        code = "permission_denied" if error.status_code in (401, 403) else "invalid_argument"
        return code, str(error.detail)
    cause = error.cause if isinstance(error, WorkflowUpdateFailedError) else error
    kind = cause.type if isinstance(cause, ApplicationError) else type(cause).__name__
    return ("no_such_interrupt" if kind == InterruptUnknown.__name__ else "invalid_argument"), str(cause)


PROBLEMS = (Refused, ValidationError, HTTPException, PerdureError, WorkflowUpdateFailedError)
"""What a command may be refused with; the rest is the server's own failure."""
