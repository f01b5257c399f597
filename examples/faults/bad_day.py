"""The provider's bad day: what it answers, and what goes wrong with every third call."""

import json
from collections.abc import Iterator

from faults.agent import PAGES
from perdure.testing.providers import Broken, Call, Reply, Reset, Stall, Status, ToolCall
from perdure.testing.providers.script import Answer

__all__ = ["EVERY", "FAULTS", "answer", "faults"]

EVERY = 3

FAULTS: tuple[tuple[str, Answer], ...] = (
    ("503 Service Unavailable", Status(503)),
    ("429 Too Many Requests, Retry-After: 1.5", Status(429, retry_after="1.5")),
    ("connection reset at once", Reset()),
    ("connection reset in the middle of the stream", Reset(after=5)),
    ("silence in the middle of the stream", Stall(after=3)),
    ("an event cut in half", Broken("json")),
    ("a tool that there is not", Reply(tools=[ToolCall("read_pages", {"from": 1, "to": 19})])),
    ("arguments that do not fit", Reply(tools=[ToolCall("read_page", {"number": "the next one"})])),
    ("an empty answer", Reply()),
)


def faults() -> dict[int, Answer]:
    """By the number of the call."""
    return {EVERY * place: fault for place, (_, fault) in enumerate(FAULTS, 1)}


def answer(call: Call) -> Reply:
    """What the model says, from what it is told and nothing else: the next page, or the sum of all."""
    amounts = list(_amounts(call))
    if len(amounts) < len(PAGES):
        return Reply(tools=[ToolCall("read_page", {"number": len(amounts) + 1})])
    return Reply(f"The pages come to {sum(amounts)}.")


def _amounts(call: Call) -> Iterator[int]:
    for message in call.messages:
        blocks = message["content"] if isinstance(message["content"], list) else []
        for block in blocks:
            if block["type"] == "tool_result" and not block.get("is_error"):
                content = block["content"]
                yield json.loads(content if isinstance(content, str) else content[0]["text"])
