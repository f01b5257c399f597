"""`perdure history` and `retry`: looking back at a thread, and starting a closed one again. Side: cli."""

from __future__ import annotations

import warnings

from rich.text import Text
from temporalio.service import RPCError

from perdure.cli.connection import find_project, open_client
from perdure.cli.console import columns, print_data, stderr, stdout
from perdure.cli.settings import OK, Settings
from perdure.client.forks import EffectsHappened
from perdure.contract.effect import EffectEntry
from perdure.contract.state import ThreadSnapshot
from perdure.errors import PerdureError

__all__ = ["retry", "show_history"]


async def show_history(settings: Settings, thread: str, *, limit: int, as_json: bool) -> int:
    """The checkpoints that a thread keeps, newest first."""
    client = await open_client(settings, find_project(settings))
    try:
        found = [snapshot async for snapshot in client.history(thread, limit=limit)]
    except RPCError as error:
        raise PerdureError(
            f"a thread's history needs a worker, and none answers: start one (`perdure worker`) ({error.message})"
        ) from error
    if as_json:
        print_data(found, as_json=True)
    elif not found:
        stderr().print("no checkpoints yet", style="dim")
    else:
        table = columns("step", "checkpoint", "saved by", "next", "at")
        for snapshot in found:
            table.add_row(
                str(snapshot.step),
                snapshot.checkpoint_id,
                snapshot.source,
                _next(snapshot),
                snapshot.created_at[:19].replace("T", " "),
            )
        stdout().print(table)
    return OK


def _next(snapshot: ThreadSnapshot) -> Text:
    asked = {task.name for task in snapshot.tasks if task.interrupts}
    text = Text()
    for name in snapshot.next:
        text.append(", " if text else "").append(name, style="yellow" if name in asked else "")
    return text or Text("end", style="dim")


def _show_effects(effects: list[EffectEntry]) -> None:
    table = columns("effect", "node", "state", "key")
    for entry in effects:
        table.add_row(entry.name, entry.node, entry.state, entry.key)
    stderr().print(table)


async def retry(settings: Settings, thread: str, *, checkpoint: str | None, yes: bool) -> int:
    """Start a closed thread again. From before effects that happened only when told so (`yes`).

    Raises:
        ThreadNotFound: for an unknown thread. ThreadBusy: when it is open.
    """
    client = await open_client(settings, find_project(settings))
    try:
        if checkpoint and (effects := await client.happened_since(thread, checkpoint)):
            _show_effects(effects)
            if not yes:
                raise PerdureError(
                    f"{len(effects)} effect(s) of thread {thread!r} happened after checkpoint {checkpoint} and may be made "
                    "again, under new keys: give --yes if that is what you want"
                )
        with warnings.catch_warnings(action="ignore", category=EffectsHappened):
            await client.retry(thread, checkpoint_id=checkpoint)
    except RPCError as error:
        raise PerdureError(
            f"starting a thread again needs a worker, and none answers: start one (`perdure worker`) ({error.message})"
        ) from error
    where = f"from checkpoint {checkpoint}" if checkpoint else "from its last finished step"
    stderr().print(
        f"{thread} goes on {where}; `perdure attach {thread}` follows it",
        style="dim",
        markup=False,
        soft_wrap=True,
    )
    return OK
