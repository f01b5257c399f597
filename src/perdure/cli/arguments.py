"""Arguments and options that several commands have, and how each ends. Side: cli."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any

import typer

__all__ = ["AsJson", "InterruptId", "NoInput", "Thread", "finish"]

Thread = Annotated[
    str, typer.Argument(help="The thread's id; `perdure list` shows them.", show_default=False)
]
InterruptId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Which one, when several wait.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Plain JSON on stdout.")]
NoInput = Annotated[
    bool, typer.Option("--no-input", help="Never ask; exit with 3 when a decision is awaited.")
]


def finish(work: Coroutine[Any, Any, int]) -> None:
    import asyncio  # a fifth of what `perdure --help` loads

    raise typer.Exit(asyncio.run(work))
