"""Measures payload encoding and decoding against LangGraph's own serializer: message lists of 1 KB to 20 MB.

    python bench/payloads.py [--quick] [--json results.json]

Three kinds of lists: `conversation` (some 500 bytes a message, with tool calls, usage and metadata; larger messages at 20 MB,
as no payload may have more parts), `documents` (20 KB a message, lines of prose of which every third has letters beyond ASCII)
and `json` (tool results that are JSON themselves, so that every quote in them is escaped once more). Each round measures both
serializers in turns that rotate, in this thread's processor time, on values that are new to the serializer (a string keeps its
UTF-8 once it was asked for it), while no other value is alive: whose turn comes first finds the memory of the one before still
mapped. Ratios are those of medians; above 1: Perdure is faster.

`floor` is JSON alone: orjson and pydantic-core on the same structure, without any of Perdure. No change to Perdure's own code
makes a ratio better than that of the floor.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic_core import from_json

sys.path[:0] = [str(Path(__file__).parent)]

from text import text  # noqa: E402

from perdure.payloads import TypeRegistry, dumps, loads  # noqa: E402

KB, MB = 1000, 1_000_000
SIZES = {"1 KB": KB, "10 KB": 10 * KB, "100 KB": 100 * KB, "1 MB": MB, "20 MB": 20 * MB}
QUICK = ("1 KB", "100 KB", "1 MB")
SECONDS = 1.0
"""How long one kind and size is measured, about; at least so many rounds."""
ROUNDS = 6


def conversation(length: int, size: int = 400) -> list[BaseMessage]:
    """A mixed conversation of messages with texts of `size` bytes, with tool calls, usage and metadata."""
    return [_turn(number, size) for number in range(length)]


def _turn(i: int, size: int) -> BaseMessage:
    words = text(i, size)
    match i % 4:
        case 0:
            return HumanMessage(words, id=f"human-{i}")
        case 1:
            call = {"name": "find_charge", "args": {"card": "4711", "days": [i, i + 1]}, "id": f"call-{i}"}
            return AIMessage(
                words[: size // 2],
                id=f"ai-{i}",
                tool_calls=[call],
                usage_metadata={"input_tokens": 900, "output_tokens": 60, "total_tokens": 960},
                response_metadata={"model_name": "model-1", "finish_reason": "tool_calls"},
            )
        case 2:
            return ToolMessage(words, tool_call_id=f"call-{i - 1}", name="find_charge", id=f"tool-{i}")
        case _:
            told = {"model_name": "model-1", "finish_reason": "stop"}
            return AIMessage(words, id=f"ai-{i}", response_metadata=told)


def documents(size: int) -> list[BaseMessage]:
    """Tool results of at most 20 KB of prose in lines."""

    def lines(seed: int, length: int) -> str:
        words = text(seed, length)
        if seed % 3 == 0:
            words = words.replace("e", "é")
        return "\n".join(words[at : at + 80] for at in range(0, len(words), 80))

    each = min(size, 20 * KB)
    return [
        ToolMessage(lines(i, each), tool_call_id=f"call-{i}", id=f"tool-{i}") for i in range(size // each)
    ]


def results(size: int) -> list[BaseMessage]:
    """Tool results of at most 20 KB of JSON."""
    each = min(size, 20 * KB)

    def rows(seed: int) -> str:
        return json.dumps(
            [{"name": text(seed + n, 40), "price": n, "stock": True} for n in range(each // 85)]
        )

    return [ToolMessage(rows(i), tool_call_id=f"call-{i}", id=f"tool-{i}") for i in range(size // each)]


KINDS: dict[str, Callable[[int], list[BaseMessage]]] = {
    "conversation": lambda size: (
        conversation(max(1, size // 480)) if size <= MB else conversation(size // 2500, 2400)
    ),
    "documents": documents,
    "json": results,
}


def compare(messages: list[BaseMessage]) -> dict[str, dict[str, float]]:
    """Seconds of processor time for writing and reading, the median of rounds, by direction and serializer."""
    registry, theirs = TypeRegistry(), JsonPlusSerializer()
    packed = theirs.dumps_typed(messages)
    write: dict[str, Callable[[Any], Any]] = {
        "perdure": lambda value: dumps(value, registry),
        "langgraph": theirs.dumps_typed,
        "floor": orjson.dumps,
    }
    read: dict[str, Callable[[Any], Any]] = {
        "perdure": lambda data: loads(data, registry),
        "langgraph": theirs.loads_typed,
        "floor": lambda data: from_json(data, cache_strings="keys"),
    }
    data = write["perdure"](messages)
    assert read["perdure"](data) == messages, "not what was written"
    given = {"perdure": data, "langgraph": packed, "floor": data}
    taken: dict[tuple[str, str], list[float]] = {}

    def timed(direction: str, name: str, function: Callable[[Any], Any], value: Any) -> None:
        gc.collect()
        start = time.thread_time()
        result = function(value)
        taken.setdefault((direction, name), []).append(time.thread_time() - start)
        del result

    turns = list(write)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or len(taken["read", "perdure"]) < ROUNDS:
        turns.append(turns.pop(0))
        for name in turns:
            timed("read", name, read[name], given[name])
        for name in turns:
            new = read["floor"](data) if name == "floor" else theirs.loads_typed(packed)
            timed("write", name, write[name], new)
            del new
    told = {way: {name: median(taken[way, name]) for name in write} for way in ("write", "read")}
    told["both"] = {name: told["write"][name] + told["read"][name] for name in write}
    return told | {"bytes": {"perdure": len(data), "langgraph": len(packed[1])}}


def measure(options: dict[str, Any]) -> dict[str, Any]:
    """Rows `KIND SIZE DIRECTION`; those of both directions together have the limit. `floor` is JSON alone, both directions."""
    sizes = QUICK if options.get("quick") else tuple(SIZES)
    rows: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    for kind, make in KINDS.items():
        for size in sizes:
            told = more[f"{kind} {size}"] = compare(make(SIZES[size]))
            for direction in ("write", "read", "both"):
                ratio = told[direction]["langgraph"] / told[direction]["perdure"]
                speed = told["bytes"]["perdure"] / MB / told[direction]["perdure"]
                row = {"name": f"{kind} {size} {direction}", "value": speed, "unit": "MB/s", "ratio": ratio}
                if direction == "both":
                    row |= {"target": "as fast as JsonPlus", "limit": 1.0, "met": ratio >= 1.0}
                rows.append(row)
            floor = told["both"]["floor"]
            rows.append(
                {
                    "name": f"{kind} {size} floor",
                    "value": told["bytes"]["perdure"] / MB / floor,
                    "unit": "MB/s",
                    "ratio": told["both"]["langgraph"] / floor,
                }
            )
    return {"rows": rows, "more": more}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="up to 1 MB")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    options = parser.parse_args()
    results = measure({"quick": options.quick})
    for row in results["rows"]:
        verdict = {None: "", True: "met", False: "MISSED"}[row.get("met")]
        sys.stdout.write(f"{row['name']:28} {row['value']:8.0f} MB/s  ratio {row['ratio']:5.2f}  {verdict}\n")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
