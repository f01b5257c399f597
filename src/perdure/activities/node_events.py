"""What LangChain's `astream_events` tells, of one attempt of a node: its start and end, and those of the models, tools and chains
in it.

Side: activities. The graph's own start and end are told by its workflow (`workflows/turns.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from perdure._compat_speech import EventsHandler

__all__ = ["NodeEvents"]


class NodeEvents(EventsHandler):
    """`tell` takes each event. `run` is the id of the graph's run, in which the node's own is the one that they all are in."""

    def __init__(self, tell: Callable[[Any], None], *, run: str, node: str) -> None:
        super().__init__()
        self._tell = tell
        self._run = run
        self._name = node
        self._node = str(uuid.uuid4())
        self._metadata: Mapping[str, Any] = {}

    def begin(self, given: Any, metadata: Mapping[str, Any]) -> None:
        self._metadata = metadata
        self._own("on_chain_start", {"input": given})

    def end(self, given: Any, output: Any) -> None:
        self._own("on_chain_stream", {"chunk": output})
        self._own("on_chain_end", {"output": output, "input": given})

    def _own(self, event: str, data: dict[str, Any]) -> None:
        told = {"event": event, "name": self._name, "run_id": self._node, "tags": [], "data": data}
        self._tell({**told, "metadata": self._metadata, "parent_ids": [self._run]})

    def _send(self, event: Any, event_type: str) -> None:
        self._tell({**event, "parent_ids": [self._run, self._node, *event["parent_ids"]]})
