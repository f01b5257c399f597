"""From an exception to one line on stderr and an exit code. Side: cli; the process's edge."""

from __future__ import annotations

import os
import sys
import traceback

from perdure.cli.settings import FAILED, INTERRUPTED, USAGE
from perdure.errors import PerdureError, RunFailed

__all__ = ["report"]

_UNEXPECTED = "this is a bug in Perdure or in a library; --debug shows where"


def report(error: BaseException, *, debug: bool) -> int:
    """Say what went wrong; the exit code."""
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has had enough of it. Python would complain while it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if debug:
        traceback.print_exception(error)
    message, code = _explain(error)
    label = "\x1b[1;31merror:\x1b[0m" if sys.stderr.isatty() and "NO_COLOR" not in os.environ else "error:"
    print(label, " ".join(message.split()), file=sys.stderr)  # noqa: T201
    return code


def _explain(error: BaseException) -> tuple[str, int]:
    if isinstance(error, RunFailed):
        return str(error), FAILED
    if isinstance(error, PerdureError):
        return str(error), USAGE
    from temporalio.service import RPCError

    if isinstance(error, RPCError):
        return f"Temporal refused or did not answer: {error.message} ({error.status.name})", USAGE
    if isinstance(error, RuntimeError) and "Worker validation failed" in str(error):
        return f"{error}: does the namespace exist? `perdure doctor` checks", USAGE
    return f"{type(error).__name__}: {error} ({_UNEXPECTED})", FAILED
