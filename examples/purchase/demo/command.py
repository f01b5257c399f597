"""The demo's command line.

Exit codes: 0, all went as promised; 1, it did not, and standard error says in one line what.
"""

import argparse
import asyncio
import json
import os
from pathlib import Path

from temporalio.exceptions import TemporalError

from perdure.errors import PerdureError
from purchase.demo.screen import Screen
from purchase.demo.story import Story
from support.demo.child import DemoError

__all__ = ["run"]


def run() -> int:
    """Parse the options, tell the story, judge it; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m purchase.demo",
        description="An agent buys twice; the second time the shipment is refused, and the money comes back.",
    )
    parser.add_argument("--json", action="store_true", help="end with the summary as one line of JSON")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(".perdure/demo-purchase"),
        help="for its data (default: %(default)s)",
    )
    options = parser.parse_args()
    _forget_other_servers()
    screen = Screen()
    try:
        summary = asyncio.run(Story(screen, options.directory).tell())
    except (DemoError, PerdureError, TemporalError, OSError) as error:
        screen.failed(str(error) or type(error).__name__, getattr(error, "log", ""))
        return 1
    for problem in summary.problems:
        screen.failed(problem)
    if options.json:
        print(json.dumps(summary.as_json()))
    return 1 if summary.problems else 0


def _forget_other_servers() -> None:
    """The demo brings its own Temporal: settings that lead to another one must reach neither it nor its worker."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        del os.environ[name]
    os.environ["TEMPORAL_CONFIG_FILE"] = os.devnull
