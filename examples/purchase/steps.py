"""Which call an order allows next. Pure.

The model chooses; this is what its choice is held against, so that a wrong one costs nothing: no other price, no second
reservation, no shipment before the payment.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage

__all__ = ["NotShipped", "Ordered", "due", "misuse", "outcomes"]


class NotShipped(ValueError):
    """The model has stopped before the goods were sent. A retry would only ask the same model the same."""


class Ordered(TypedDict):
    """What is bought."""

    sku: str
    quantity: int


def outcomes(messages: Sequence[AnyMessage]) -> dict[str, dict[str, Any]]:
    """What the tools have answered, by their names."""
    return {
        str(message.name): json.loads(message.text)
        for message in messages
        if isinstance(message, ToolMessage) and message.status == "success"
    }


def due(order: Ordered, done: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]] | None:
    """The next call's tool and arguments; None when the goods are sent."""
    if "reserve" not in done:
        return "reserve", {"sku": order["sku"], "quantity": order["quantity"]}
    reserved = done["reserve"]
    if "charge" not in done:
        price = {"amount": reserved["amount"], "currency": reserved["currency"]}
        return "charge", {"reservation": reserved["id"], **price}
    if "ship" not in done:
        return "ship", {"reservation": reserved["id"], "charge": done["charge"]["id"]}
    return None


def misuse(call: ToolCall, order: Ordered, messages: Sequence[AnyMessage]) -> str | None:
    """Why this call of the last message must not be made, in words for the model; None if it may."""
    asked = messages[-1]
    if isinstance(asked, AIMessage) and asked.tool_calls[0]["id"] != call["id"]:
        return "One call at a time: wait for the first one's answer."
    following = due(order, outcomes(messages))
    if following is None:
        return "The goods are sent: there is nothing left to do."
    tool, args = following
    if (call["name"], call["args"]) != (tool, args):
        return f"Not done. What is due now is {tool} with exactly these arguments: {json.dumps(args)}"
    return None
