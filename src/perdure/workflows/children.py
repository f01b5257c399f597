"""The graphs that a run's nodes run in their turn: when each begins and ends, as LangChain's agent protocol tells it.

Side: workflow. Known from the tasks of the graph around it: a namespace ends with the id of the task that opened it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from perdure._compat import NS_END, NS_SEP

__all__ = ["Children"]


class Children:
    """One per step of a run; a graph that goes on in the next one is told of again."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, ...]] = {}

    def of(self, namespace: tuple[str, ...], mode: str, chunk: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """What an item of LangGraph's stream says of them: events to tell, before the item itself."""
        name, _, task = namespace[-1].partition(NS_END) if namespace else ("", "", "")
        if task and task not in self._open:
            self._open[task] = namespace
            yield (
                NS_SEP.join(("lifecycle", *namespace)),
                {"event": "started", "graph_name": name, "trigger_call_id": task},
            )
        if mode == "tasks" and "result" in chunk and chunk.get("id") in self._open:
            ended = self._open.pop(chunk["id"])
            name = ended[-1].partition(NS_END)[0]
            status: dict[str, Any] = {"event": "completed", "graph_name": name}
            if chunk.get("interrupts"):
                status["event"] = "interrupted"
            elif chunk.get("error"):
                status |= {"event": "failed", "error": str(chunk["error"])}
            yield NS_SEP.join(("lifecycle", *ended)), status
