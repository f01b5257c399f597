"""A bound for a model that goes on calling tools wrongly.

Side: activities. LangGraph's tool node answers a call of a tool that there is not, or with arguments that do not fit, with a
message to the model, which may then put it right. One that does not would go on until the recursion limit, which is 9,999
steps for `create_agent`.

Not counted: tools that ran and failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.prebuilt.tool_node import INVALID_TOOL_NAME_ERROR_TEMPLATE, TOOL_INVOCATION_ERROR_TEMPLATE

from perdure.contract.node import NodeInput
from perdure.errors import ToolCallsInvalid

__all__ = ["MOST_ROUNDS", "check_rounds"]

MOST_ROUNDS = 10
"""So many rounds in a row may consist of wrong calls alone."""

_UNKNOWN = INVALID_TOOL_NAME_ERROR_TEMPLATE.partition("}")[2].partition("{")[0]
_UNFIT = TOOL_INVOCATION_ERROR_TEMPLATE.partition("{")[0]


def check_rounds(given: NodeInput, outcome: Mapping[str, Any]) -> None:
    """Look at what a tool node was given and did.

    Raises:
        ToolCallsInvalid: this round and the `MOST_ROUNDS` before it were wrong calls alone.
    """
    answers = [message for message in _messages(outcome.get("output")) if isinstance(message, ToolMessage)]
    if not answers or not all(_is_wrong(answer) for answer in answers):
        return
    rounds = 0
    for message in reversed(_messages(given.channels or given.value)[:-1]):
        if isinstance(message, ToolMessage) and _is_wrong(message):
            continue
        if not isinstance(message, AIMessage) or not message.tool_calls:
            break
        rounds += 1
    if rounds >= MOST_ROUNDS:
        last = answers[-1].text
        raise ToolCallsInvalid(
            f"the model has called tools wrongly {rounds + 1} times in a row; the last answer to it was: {last}",
            last,
        )


def _is_wrong(message: ToolMessage) -> bool:
    text = message.text
    return message.status == "error" and (_UNKNOWN in text or text.startswith(_UNFIT))


def _messages(value: Any) -> list[Any]:
    """The messages of a state, of what a tool node is sent, or of what it returns."""
    if isinstance(value, Mapping):
        state = cast("Mapping[str, Any]", value)
        return _messages(state.get("state") or state.get("messages"))
    return list(cast("Sequence[Any]", value)) if isinstance(value, list) else []
