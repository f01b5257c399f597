"""What the model is told. Pure."""

import json
from collections.abc import Sequence

from langchain_core.messages import BaseMessage, HumanMessage

from purchase.steps import Ordered

__all__ = ["INSTRUCTIONS", "order_message", "read_order"]

INSTRUCTIONS = (
    "You carry out one order with three tools, one call at a time: reserve the goods, charge for the reservation what "
    "it costs, ship it. Then say in one sentence that the order is on its way."
)
_ORDER = "Order: "


def order_message(order: Ordered) -> HumanMessage:
    """The order as the model reads it. Card and address are not its business."""
    return HumanMessage(_ORDER + json.dumps({"sku": order["sku"], "quantity": order["quantity"]}))


def read_order(messages: Sequence[BaseMessage]) -> Ordered:
    """The other way round, for the offline model."""
    [text] = [message.text for message in messages if isinstance(message, HumanMessage)]
    return json.loads(text.removeprefix(_ORDER))
