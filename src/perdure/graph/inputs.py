"""Node inputs by reference: a workflow leaves a node's live input here, the activity in the same process takes it.

Side: both; one per worker. A miss is normal (the activity runs in another process, or the workflow was evicted): the
activity then asks the workflow, which can derive the input again by replay.

Invariant: what an activity takes is a copy (`snapshot`), so a node that changes its input in place changes nothing that
the workflow sees. Live and replayed state would differ otherwise.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

from perdure.contract.node import NodeInput

__all__ = ["LiveInputs", "snapshot"]

_Key = tuple[str, str, str]

_set = object.__setattr__

_CONTAINERS: frozenset[type] = frozenset({dict, list})
_SHARED: frozenset[type] = frozenset({str, int, float, bool, type(None), bytes, complex})


def snapshot(value: Any) -> Any:
    """A copy of a state value that shares only what cannot change.

    Containers and messages are copied by hand because a state is mostly a long list of messages, and `deepcopy` of it
    would cost more than the rest of a step together.
    """
    kind = type(value)
    if kind in _SHARED:
        return value
    if kind is dict:
        return {k: v if type(v) in _SHARED else snapshot(v) for k, v in value.items()}
    if kind is list:
        return [v if type(v) in _SHARED else snapshot(v) for v in value]
    if kind is tuple:
        return tuple(snapshot(v) for v in value)
    if kind.__module__.startswith("langchain_core.messages."):
        return _snapshot_message(value, kind)
    return copy.deepcopy(value)


def _snapshot_message(message: Any, kind: Any) -> Any:
    # As pydantic's own __copy__ does it, but with fresh containers inside.
    twin = kind.__new__(kind)
    fields = message.__dict__.copy()
    for name, value in fields.items():
        field = type(value)
        if field not in _SHARED:
            # Most fields of most messages are empty containers.
            fields[name] = snapshot(value) if value or field not in _CONTAINERS else field()
    _set(twin, "__dict__", fields)
    _set(twin, "__pydantic_fields_set__", message.__pydantic_fields_set__.copy())
    extra, private = message.__pydantic_extra__, message.__pydantic_private__
    _set(twin, "__pydantic_extra__", extra and snapshot(extra))
    _set(twin, "__pydantic_private__", private and copy.copy(private))
    return twin


class LiveInputs:
    """Keyed by workflow id, workflow run id and call. Workflow threads put and drop, the activity loop takes.

    An input outlives the eviction of its workflow, so there is a bound: the oldest is dropped first.
    """

    def __init__(self, *, capacity: int = 1000) -> None:
        self._inputs: dict[_Key, Callable[[], NodeInput]] = {}
        self._capacity = capacity
        self._lock = threading.Lock()

    def put(self, key: _Key, build: Callable[[], NodeInput]) -> None:
        with self._lock:
            self._inputs.pop(key, None)
            self._inputs[key] = build
            while len(self._inputs) > self._capacity:
                del self._inputs[next(iter(self._inputs))]

    def drop(self, key: _Key) -> None:
        with self._lock:
            self._inputs.pop(key, None)

    def take(self, key: _Key) -> NodeInput | None:
        """The input of a call, safe to change; `None` when this process does not hold it. It stays for retries."""
        build = self._inputs.get(key)
        if build is None:
            return None
        live = build()
        return NodeInput(
            value=snapshot(live.value),
            config=live.config,
            context=snapshot(live.context),
            scratch=snapshot(live.scratch),
            previous=snapshot(live.previous),
            error=live.error,
            nested=copy.deepcopy(live.nested),
            channels=snapshot(live.channels),
        )
