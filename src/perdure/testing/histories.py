"""Replaying recorded histories: does today's code still take yesterday's decisions?

Side: testing, public. Record with `await run.handle.fetch_history()` and `.to_json()`; keep the file; replay it in CI.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from perdure.worker.plugin import PerdurePlugin

__all__ = ["replay"]


async def replay(
    history: WorkflowHistory | str,
    graphs: Mapping[str, Any],
    *,
    thread_id: str = "replayed",
    types: Iterable[type] = (),
) -> None:
    """Replay a thread's history against `graphs` as they are now. No server is needed.

    Args:
        history: Temporal's history, or its JSON.
        graphs: compiled graphs by name, as on the worker.
        thread_id: the id of the thread, when `history` is JSON (which does not hold it). Ids that are derived from it
            come out the same only with the right one.
        types: see `PerdurePlugin`.

    Raises:
        temporalio.workflow.NondeterminismError: when the graph would now do something else.
    """
    if isinstance(history, str):
        history = WorkflowHistory.from_json(thread_id, history)
    replayer = Replayer(workflows=[], plugins=[PerdurePlugin(graphs, types=types)])
    await replayer.replay_workflow(history)
