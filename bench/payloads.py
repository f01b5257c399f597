"""Measures payload encoding and decoding against LangGraph's own serializer, on one conversation.

    python bench/payloads.py [messages]

Prints milliseconds for the best of several rounds, and the ratio (above 1: Perdure is faster).
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from perdure.payloads import TypeRegistry, dumps, loads

_TEXT = "The charge of 42.10 EUR on card 4711 was made twice; one of them goes back. " * 5
_ROUNDS = 30


def conversation(length: int) -> list[BaseMessage]:
    """A mixed conversation of about 500 bytes a message, with tool calls, usage and metadata."""
    messages: list[BaseMessage] = []
    for i in range(length):
        match i % 4:
            case 0:
                messages.append(HumanMessage(_TEXT, id=f"human-{i}"))
            case 1:
                call = {
                    "name": "find_charge",
                    "args": {"card": "4711", "days": [i, i + 1]},
                    "id": f"call-{i}",
                }
                messages.append(
                    AIMessage(
                        _TEXT[:200],
                        id=f"ai-{i}",
                        tool_calls=[call],
                        usage_metadata={"input_tokens": 900, "output_tokens": 60, "total_tokens": 960},
                        response_metadata={"model_name": "model-1", "finish_reason": "tool_calls"},
                    )
                )
            case 2:
                messages.append(
                    ToolMessage(_TEXT, tool_call_id=f"call-{i - 1}", name="find_charge", id=f"tool-{i}")
                )
            case _:
                messages.append(
                    AIMessage(
                        _TEXT,
                        id=f"ai-{i}",
                        response_metadata={"model_name": "model-1", "finish_reason": "stop"},
                    )
                )
    return messages


def best_ms(function: Callable[[], Any]) -> float:
    """Milliseconds of the fastest of several calls."""
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best * 1000


def main(length: int) -> None:
    """Measure both, and check that ours restores the conversation exactly."""
    messages = conversation(length)
    registry, theirs = TypeRegistry(), JsonPlusSerializer()
    data, packed = dumps(messages, registry), theirs.dumps_typed(messages)
    assert loads(data, registry) == messages
    rows = {
        "encode": (best_ms(lambda: dumps(messages, registry)), best_ms(lambda: theirs.dumps_typed(messages))),
        "decode": (best_ms(lambda: loads(data, registry)), best_ms(lambda: theirs.loads_typed(packed))),
    }
    rows["both"] = (sum(ours for ours, _ in rows.values()), sum(other for _, other in rows.values()))
    sys.stdout.write(f"{length} messages: {len(data)} bytes, LangGraph {len(packed[1])} bytes\n")
    for name, (ours, other) in rows.items():
        sys.stdout.write(f"{name:>7}: {ours:7.2f} ms, LangGraph {other:7.2f} ms, ratio {other / ours:.1f}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
