"""`perdure reconcile`: threads that were stopped from outside and could not undo what they did. Side: cli."""

from __future__ import annotations

from typing import Any

from temporalio.service import RPCError

from perdure.cli.connection import find_project, open_client
from perdure.cli.console import columns, print_data, stderr, stdout
from perdure.cli.settings import OK, Settings
from perdure.contract.effect import EffectEntry
from perdure.errors import PerdureError

__all__ = ["reconcile"]


async def reconcile(settings: Settings, *, compensate: bool, as_json: bool) -> int:
    """List what is owed; with `compensate`, undo it."""
    client = await open_client(settings, find_project(settings))
    try:
        found = [orphan async for orphan in client.orphans()]
    except RPCError as error:
        raise PerdureError(
            f"what threads owe is told by a worker, and none answers: start one (`perdure worker`) ({error.message})"
        ) from error
    told: list[dict[str, Any]] = []
    for thread, owed in found:
        result = await (await client.compensate(thread)).result() if compensate else {}
        told.append({"thread": thread, "owed": [_told(entry) for entry in owed], **result})
    if as_json:
        print_data(told, as_json=True)
    elif not told:
        stderr().print("no thread was stopped before it could undo what it did", style="dim")
    else:
        table = columns("thread", "effect", "node", "state", "outcome")
        for line in told:
            for entry in line["owed"]:
                outcome = line.get("compensation", "owed")
                table.add_row(line["thread"], entry["effect"], entry["node"], entry["state"], outcome)
        stdout().print(table)
        if not compensate:
            stderr().print("`perdure reconcile --compensate` undoes them", style="dim")
    return OK


def _told(entry: EffectEntry) -> dict[str, Any]:
    return {"effect": entry.name, "node": entry.node, "state": entry.state, "key": entry.key}
