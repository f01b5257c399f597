"""Node inputs by reference: a workflow leaves a node's live input here, the activity in the same process takes it.

Side: both; one per worker. A miss is normal (the activity runs in another process, or the workflow was evicted): the
activity then asks the workflow, which can derive the input again by replay.

Invariant: what an activity takes is a copy (`perdure.graph.snapshot`), so a node that changes its input in place changes
nothing that the workflow sees. Live and replayed state would differ otherwise.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass

from perdure.contract.node import NodeInput
from perdure.graph.snapshot import Copies, snapshot

__all__ = ["LiveInputs"]

_Key = tuple[str, str, str]


@dataclass
class _Held:
    build: Callable[[], NodeInput]
    copies: Copies
    taken: bool = False


class LiveInputs:
    """Keyed by workflow id, workflow run id and call. Workflow threads put and drop, the activity loop takes.

    An input outlives the eviction of its workflow, so there is a bound: the oldest is dropped first.
    """

    def __init__(self, *, capacity: int = 1000) -> None:
        self._inputs: dict[_Key, _Held] = {}
        self._capacity = capacity
        self._lock = threading.Lock()

    def put(self, key: _Key, build: Callable[[], NodeInput], copies: Copies) -> None:
        """Leave the input that `build` makes. `copies` are those of the workflow run, the same for all its calls."""
        with self._lock:
            self._inputs.pop(key, None)
            self._inputs[key] = _Held(build, copies)
            while len(self._inputs) > self._capacity:
                del self._inputs[next(iter(self._inputs))]

    def drop(self, key: _Key) -> None:
        with self._lock:
            self._inputs.pop(key, None)

    def take(self, key: _Key) -> NodeInput | None:
        """The input of a call, safe to change; `None` when this process does not hold it. It stays for retries."""
        held = self._inputs.get(key)
        if held is None:
            return None
        if held.taken:
            held.copies.forget()
        held.taken = True
        live, copies = held.build(), held.copies
        return NodeInput(
            value=snapshot(live.value, copies),
            config=live.config,
            context=snapshot(live.context, copies),
            scratch=snapshot(live.scratch, copies),
            previous=snapshot(live.previous, copies),
            error=live.error,
            nested=copy.deepcopy(live.nested),
            channels=snapshot(live.channels, copies),
        )
