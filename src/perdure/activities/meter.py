"""Counts what an attempt uses: model calls with tokens and money, tool calls.

Side: activities. Model calls go on from what the attempts before this one of the same node call had used: each was paid.
Tool calls are the attempt's own: one that is tried again is still one call.

Not counted: model calls of which the server heard nothing any more, the last 1 s of an attempt that died.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from typing import Any, NoReturn

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import ChatResult

from perdure._compat_models import ModelCall
from perdure.activities.prices import price_of, prices_known
from perdure.contract.budget import BudgetLeft
from perdure.contract.usage import ModelUsage, Usage, total_usage
from perdure.errors import BudgetExhausted, ConfigError

__all__ = ["Meter", "model_name"]

_NAMES = ("model_name", "model", "model_id", "deployment_name")
_A_TOKEN = ({"input_tokens": 1, "output_tokens": 1},)


class Meter:
    """For one attempt, any thread. `tool_calls` is a callback handler for the attempt's config; `refused` the call that was
    not made, because nothing is `left`."""

    def __init__(self, before: Mapping[str, ModelUsage], left: BudgetLeft | None = None) -> None:
        self.tool_calls = _ToolCalls(self)
        self.refused: BudgetExhausted | None = None
        self._left = left or BudgetLeft()
        self._lock = threading.Lock()
        self._usage = Usage(dict(before))

    @property
    def usage(self) -> Usage:
        with self._lock:
            return self._usage

    def check(self) -> None:
        """Raises BudgetExhausted when a call was refused, also if the node has made do without it."""
        if self.refused is not None:
            raise self.refused

    def begin(self, call: ModelCall) -> None:
        """Before a model call. Raises BudgetExhausted; ConfigError when a budget in money knows no price for it."""
        with self._lock:
            self._refuse("tokens", "money", "model_calls")
            name = model_name(call.model)
            if "money" in self._left.limits and price_of(name, call.model, _A_TOKEN) is None:
                raise ConfigError(_no_price(name))
            self._count(Usage({name: ModelUsage(calls=1)}))

    def end(self, call: ModelCall, result: ChatResult) -> int:
        """After it; the tokens that it took."""
        messages = [made.message for made in result.generations]
        told: list[dict[str, Any]] = [getattr(message, "usage_metadata", None) or {} for message in messages]
        given = sum(int(usage.get("input_tokens") or 0) for usage in told)
        made = sum(int(usage.get("output_tokens") or 0) for usage in told)
        answered = next((name for message in messages if (name := _answered_by(message))), "")
        name = model_name(call.model)
        price = price_of(answered, call.model, told) if answered else None
        price = price_of(name, call.model, told) if price is None else price
        with self._lock:
            self._count(Usage({name: ModelUsage(0, given, made, price or 0.0, int(price is None))}))
        return given + made

    def tool(self, name: str, arguments: Any) -> None:
        """Before a tool call. Raises BudgetExhausted."""
        key = f"{name}:{hashlib.sha256(str(arguments).encode()).hexdigest()[:12]}"
        with self._lock:
            self._refuse("tool_calls")
            most = self._left.limits.get("identical_calls")
            if most is not None and self._left.seen.get(key, 0) + self._usage.tools.get(key, 0) >= most:
                self._exhausted("identical_calls", most, most, what=name)
            self._count(Usage(tools={key: 1}))

    def _refuse(self, *limits: str) -> None:
        for limit in limits:
            left = self._left.limits.get(limit)
            if left is not None and (used := getattr(self._usage, limit)) >= left:
                self._exhausted(limit, used, left)

    def _exhausted(self, limit: str, used: float, left: float, *, what: str = "") -> NoReturn:
        of = self._left.of[limit]
        self.refused = BudgetExhausted(limit=limit, of=of, used=used, allowed=left, what=what)
        raise self.refused

    def _count(self, more: Usage) -> None:
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


def _no_price(name: str) -> str:
    fix = "take a budget in tokens instead"
    if not prices_known():
        return f"a budget in money needs prices: pip install 'perdure[prices]', or {fix}"
    return f"no price is known for model {name!r}, so a budget in money cannot be kept: {fix}"


def model_name(model: Any) -> str:
    """What a chat model calls its model; else its class."""
    for name in _NAMES:
        if isinstance(value := getattr(model, name, None), str) and value:
            return value
    return type(model).__name__


def _answered_by(message: Any) -> str:
    about: dict[str, Any] = getattr(message, "response_metadata", None) or {}
    return str(about.get("model_name") or about.get("model") or "")
