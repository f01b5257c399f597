"""The demo's command line.

Exit codes: 0, all went as promised; 1, it did not, and standard error says in one line what.
"""

import argparse
import asyncio
import json
import logging
import os
from pathlib import Path

from temporalio.exceptions import TemporalError

from faults.demo.screen import Screen
from faults.demo.story import tell
from perdure.errors import PerdureError

__all__ = ["run"]


def run() -> int:
    """Parse the options, tell the story, judge it; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m faults.demo",
        description="A 20-step agent, and a model provider that fails every third call in a different way.",
    )
    parser.add_argument("--json", action="store_true", help="end with the summary as one line of JSON")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(".perdure/demo-faults"),
        help="for its data (default: %(default)s)",
    )
    options = parser.parse_args()
    _forget_other_servers()
    # Each failed attempt is logged, with its traceback; the table at the end says it in a line.
    for name in ("temporalio", "langchain_core.callbacks"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    screen = Screen()
    try:
        summary = asyncio.run(tell(screen, options.directory))
    except (PerdureError, TemporalError, OSError) as error:
        screen.failed(str(error) or type(error).__name__)
        return 1
    for problem in summary.problems:
        screen.failed(problem)
    if options.json:
        print(json.dumps(summary.as_json()))
    return 1 if summary.problems else 0


def _forget_other_servers() -> None:
    """The demo brings its own Temporal: settings that lead to another one must not reach it."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        del os.environ[name]
    os.environ["TEMPORAL_CONFIG_FILE"] = os.devnull
