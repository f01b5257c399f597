"""Putting an interrupt to the person at the terminal. Side: cli.

Invariant: waiting for a line blocks nothing, so a decision that is made elsewhere meanwhile, or Ctrl-C, is noticed.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from perdure.cli.answers import actions, answer_for, edited, match_option, options, parse
from perdure.cli.console import duration, plain
from perdure.contract.thread import PendingInterrupt

__all__ = ["ask", "show_interrupt"]

_NOT_SHOWN = frozenset({"options", "expires_in", "on_expiry", "review_configs"})


def show_interrupt(console: Console, item: PendingInterrupt) -> None:
    """What is asked, by which node, until when."""
    heading = (
        Text("  ? ", style="bold yellow")
        .append(item.node or "the run", style="bold")
        .append(" asks", style="dim")
    )
    if item.expires_at is not None:
        left = timedelta(seconds=item.expires_at - time.time())
        heading.append(
            f"   {duration(left)} left" if left > timedelta(0) else "   the time is over", style="dim"
        )
    heading.append(f"   {item.id}", style="dim")
    console.print(heading, soft_wrap=True)
    for key, value in _fields(item.value):
        text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False, indent=2)
        if key:
            console.print(Padding(Text(key, style="dim"), (0, 0, 0, 4), expand=False))
        console.print(Padding(Text(text.strip()), (0, 0, 0, 6 if key else 4), expand=False))


def _fields(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [("", value)]
    fields = cast("dict[str, Any]", value)
    first = [("", fields["question"])] if "question" in fields else []
    rest = [
        (k, v) for k, v in fields.items() if k not in _NOT_SHOWN and k != "question" and v not in (None, "")
    ]
    return [*first, *rest]


async def ask(console: Console, item: PendingInterrupt) -> Any:
    """The person's answer, in the form that the interrupt understands.

    Raises:
        EOFError: when stdin ends.
    """
    offered = options(item.value)
    if edited(item.value) is None:
        offered = [word for word in offered if word != "edit"]
    hint = " · ".join(offered) if offered else "approve · reject" if actions(item.value) else "your answer"
    while True:
        text = (await _line(console, f"  {hint} › ")).strip()
        if not text:
            continue
        option = match_option(text, offered)
        if option == "edit":
            if (answer := await _edit(console, item.value)) is not None:
                return answer
        elif option is not None:
            return answer_for(item.value, option)
        elif text[0] in '{["':
            return parse(text)
        elif not offered:
            return answer_for(item.value, text)
        else:
            console.print(f"  one of {', '.join(offered)}, or JSON", style="dim")


async def _edit(console: Console, value: Any) -> dict[str, Any] | None:
    """The answer with the new text; `None` when it was left as it is."""
    key, old = edited(value) or ("", "")
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if editor:
        new = await _in_editor(editor, old)
    else:
        console.print(f"  the new {key}; end it with a line that holds only a dot", style="dim")
        lines: list[str] = []
        while (line := await _line(console, "  │ ")).strip() != ".":
            lines.append(line.rstrip("\n"))
        new = "\n".join(lines)
    return {"type": "edit", key: new} if new.strip() and new != old else None


async def _in_editor(editor: str, text: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.md"
        file.write_text(text, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(*shlex.split(editor), str(file))
        await process.wait()
        return file.read_text(encoding="utf-8").rstrip("\n")


async def _line(console: Console, prompt: str) -> str:
    console.print(Text(prompt, style="bold"), end="")
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sys.stdin, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sys.stdin)
    # A terminal hands out whole lines, so this does not wait for the rest of one.
    data = os.read(sys.stdin.fileno(), 65536)
    if not data:
        raise EOFError
    return data.decode(errors="replace")
