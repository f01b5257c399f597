"""The command line. Side: cli, the topmost layer.

`app` is its surface (names, options, help), which loads fast; each command's work is in a module that loads when it runs.
"""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Entry point of `perdure`. Ends the process; the exit codes are in `perdure.cli.settings`."""
    from perdure.cli.app import run

    sys.exit(run(sys.argv[1:]))
