"""`perdure approve` and `perdure reject`. Side: cli."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.cli.answers import answer_for, parse
from perdure.cli.asking import show_interrupt
from perdure.cli.connection import find_project, open_client
from perdure.cli.console import stderr
from perdure.cli.settings import OK, Settings
from perdure.contract.thread import PendingInterrupt
from perdure.errors import InterruptUnknown

__all__ = ["decide"]


async def decide(settings: Settings, thread: str, id: str | None, answer: str) -> int:
    """Answer the interrupt `id`, or the only one that waits. `id` may be the beginning of one.

    Raises:
        ThreadNotFound, InterruptUnknown: nothing has been changed then.
    """
    client = await open_client(settings, find_project(settings))
    waiting = list((await client.state(thread)).interrupts)
    if not waiting:
        raise InterruptUnknown(
            f"nothing waits for an answer in thread {thread!r} (it was answered, or has not asked yet)"
        )
    console = stderr()
    if id is None and len(waiting) > 1:
        for item in waiting:
            show_interrupt(console, item)
        raise InterruptUnknown(f"{len(waiting)} interrupts wait in thread {thread!r}: give the id of one")
    item = waiting[0] if id is None else _by_id(waiting, id, thread)
    await client.resume(thread, {item.id: answer_for(item.value, parse(answer))})
    console.print(f"answered {item.node or item.id}: {answer}", style="dim", markup=False, soft_wrap=True)
    return OK


def _by_id(waiting: Sequence[PendingInterrupt], id: str, thread: str) -> PendingInterrupt:
    found = [item for item in waiting if item.id.startswith(id)]
    if len(found) != 1:
        ids = ", ".join(item.id for item in waiting)
        problem = "more than one interrupt begins with" if found else "no interrupt"
        verb = "" if found else " waits"
        raise InterruptUnknown(f"{problem} {id!r}{verb} in thread {thread!r}; waiting: {ids}")
    return found[0]
