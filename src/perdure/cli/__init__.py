"""The command line. Side: cli, the topmost layer.

`app` is its surface (names, options, help), which loads fast; each command's work is in a module that loads when it runs.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Entry point of `perdure`. Ends the process; the exit codes are in `perdure.cli.settings`."""
    try:
        from perdure.cli.app import run

        code = run(sys.argv[1:])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:  # while modules load; later it is the parser's business
        code = 130
    _leave(code)


def _leave(code: int) -> NoReturn:
    # Not by the interpreter's own teardown: a call that was cancelled just now may still hold one of the SDK's threads,
    # which then waits for the interpreter while the interpreter waits for it.
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] - `os._exit` would skip them
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            pass  # nobody reads it any more
    os._exit(code)
