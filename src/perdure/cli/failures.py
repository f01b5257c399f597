"""From an exception to one line on stderr and an exit code.

Side: cli; the process's edge. Ctrl-C (130) and a closed pipe (1) are the parser's own business.
"""

from __future__ import annotations

import os
import sys
import traceback

from perdure.cli.settings import FAILED, USAGE
from perdure.errors import PerdureError, RunFailed

__all__ = ["report"]

_UNEXPECTED = "this is a bug in Perdure or in a library; --debug shows where"


def report(error: Exception, *, debug: bool) -> int:
    """Say what went wrong; the exit code."""
    if debug:
        traceback.print_exception(error)
    message, code = _explain(error)
    label = "\x1b[1;31merror:\x1b[0m" if sys.stderr.isatty() and "NO_COLOR" not in os.environ else "error:"
    print(label, " ".join(message.split()), file=sys.stderr)  # noqa: T201
    return code


def _explain(error: Exception) -> tuple[str, int]:
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
