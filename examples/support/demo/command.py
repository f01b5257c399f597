"""The demo's command line.

Exit codes: 0, all went as promised; 1, it did not, and standard error says in one line what.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from temporalio.exceptions import TemporalError

from perdure.errors import PerdureError
from support import messages
from support.contract import SupportInput
from support.demo.child import DemoError
from support.demo.screen import Screen
from support.demo.story import Story

__all__ = ["run"]

_MESSAGES: Mapping[str, SupportInput] = MappingProxyType(
    {
        "billing": messages.DUPLICATE_CHARGE,
        "password": messages.LOST_PASSWORD,
        "export": messages.EXPORT_QUESTION,
        "legal": messages.LEGAL_THREAT,
    }
)


def run() -> int:
    """Parse the options, tell the story, judge it; the exit code."""
    options = _options()
    _forget_other_servers()
    screen = Screen()
    story = Story(
        screen,
        _MESSAGES[options.message],
        options.directory,
        ask=screen.can_ask and not options.yes,
        keep=options.keep,
    )
    try:
        summary = asyncio.run(story.tell())
    except (DemoError, PerdureError, TemporalError, OSError) as error:
        screen.failed(str(error) or type(error).__name__, getattr(error, "log", ""))
        return 1
    for problem in summary.problems:
        screen.failed(problem)
    if options.json:
        print(json.dumps(summary.as_json()))
    return 1 if summary.problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m support.demo",
        description="An agent's worker is killed in the middle of a run, and the run finishes all the same.",
    )
    parser.add_argument(
        "--message",
        choices=_MESSAGES,
        default="billing",
        help="what the customer writes about (default: billing)",
    )
    parser.add_argument("--yes", action="store_true", help="approve the draft without asking")
    parser.add_argument(
        "--keep", action="store_true", help="leave everything running at the end, to look around"
    )
    parser.add_argument("--json", action="store_true", help="end with the summary as one line of JSON")
    parser.add_argument(
        "--directory", type=Path, default=Path(".perdure/demo"), help="for its data (default: .perdure/demo)"
    )
    return parser.parse_args()


def _forget_other_servers() -> None:
    """The demo brings its own Temporal: settings that lead to another one must reach neither it nor its workers."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        del os.environ[name]
    os.environ["TEMPORAL_CONFIG_FILE"] = os.devnull
