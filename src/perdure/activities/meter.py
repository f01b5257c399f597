"""Counts what an attempt uses: model calls with tokens and money, tool calls.

Side: activities. Model calls go on from what the attempts before this one of the same node call had used: each was paid.
Tool calls are the attempt's own: one that is tried again is still one call.

Not counted: model calls of which the server heard nothing any more, the last 1 s of an attempt that died.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import ChatResult

from perdure._compat import ModelCall
from perdure.activities.prices import price_of
from perdure.contract.usage import ModelUsage, Usage, total_usage

__all__ = ["Meter"]

_NAMES = ("model_name", "model", "model_id", "deployment_name")


class Meter:
    """For one attempt, any thread. `tool_calls` is a callback handler for the attempt's config."""

    def __init__(self, before: Mapping[str, ModelUsage]) -> None:
        self.tool_calls = _ToolCalls(self)
        self._lock = threading.Lock()
        self._usage = Usage(dict(before))

    @property
    def usage(self) -> Usage:
        with self._lock:
            return self._usage

    def begin(self, call: ModelCall) -> None:
        self._count(Usage({_name(call): ModelUsage(calls=1)}))

    def end(self, call: ModelCall, result: ChatResult) -> None:
        messages = [made.message for made in result.generations]
        told: list[dict[str, Any]] = [getattr(message, "usage_metadata", None) or {} for message in messages]
        given = sum(int(usage.get("input_tokens") or 0) for usage in told)
        made = sum(int(usage.get("output_tokens") or 0) for usage in told)
        answered = next((name for message in messages if (name := _answered_by(message))), "")
        price = price_of(answered or _name(call), call.model, told)
        spent = ModelUsage(0, given, made, price or 0.0, int(price is None))
        self._count(Usage({_name(call): spent}))

    def tool(self, name: str, arguments: Any) -> None:
        digest = hashlib.sha256(str(arguments).encode()).hexdigest()[:12]
        self._count(Usage(tools={f"{name}:{digest}": 1}))

    def _count(self, more: Usage) -> None:
        with self._lock:
            self._usage = total_usage((self._usage, more))


class _ToolCalls(BaseCallbackHandler):
    run_inline = True
    raise_error = True

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def on_tool_start(
        self, serialized: Any, input_str: str, *, inputs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        name = kwargs.get("name") or (serialized or {}).get("name") or "tool"
        self._meter.tool(name, input_str if inputs is None else sorted(inputs.items()))


def _name(call: ModelCall) -> str:
    for name in _NAMES:
        if isinstance(value := getattr(call.model, name, None), str) and value:
            return value
    return type(call.model).__name__


def _answered_by(message: Any) -> str:
    about: dict[str, Any] = getattr(message, "response_metadata", None) or {}
    return str(about.get("model_name") or about.get("model") or "")
