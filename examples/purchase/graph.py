"""The agent as a LangGraph graph: a model that chooses its tools until the goods are sent.

    open → choose ⇄ tools
             └→ close    result: shipped:<shipment id>

It runs without Perdure, too. All it takes from there is `@effect` on the tools: with it, a run that fails is taken back.

So it must fail, and not talk itself out of it: an error of a tool is raised, not told to the model
(`handle_tool_errors=False`), because a model that is told that shipping was refused may well apologise and stop, and the
run would end as if all were well, with the money taken. A call that must not be made is another matter: nothing has
happened yet, and the model is told what is due.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, RemoveMessage, SystemMessage, ToolMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

from purchase import model
from purchase.prompts import INSTRUCTIONS, order_message
from purchase.steps import NotShipped, Ordered, misuse, outcomes
from purchase.tools import TOOLS

__all__ = ["graph"]

_MAX_TURNS = 10


class Order(Ordered):
    """The input: see `purchase.contract.PurchaseInput`."""

    card: str
    address: str
    customer: str


class Purchase(Order):
    """The state. `result` is "" until the goods are sent."""

    messages: Annotated[list[AnyMessage], add_messages]
    result: str


def open_order(state: Order) -> dict[str, Any]:
    """Begin; also clears what an earlier order on the same thread left behind."""
    return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), order_message(state)], "result": ""}


async def choose(state: Purchase) -> dict[str, Any]:
    """Ask the model what to do next."""
    if sum(isinstance(message, AIMessage) for message in state["messages"]) >= _MAX_TURNS:
        raise NotShipped(f"the model has not sent the goods in {_MAX_TURNS} turns")
    agent = model.chat_model().bind_tools(list(TOOLS))
    return {"messages": [await agent.ainvoke([SystemMessage(INSTRUCTIONS), *state["messages"]])]}


def after_choose(state: Purchase) -> Literal["tools", "close"]:
    """Make the call that the model asks for; without one it has finished."""
    asked = state["messages"][-1]
    return "tools" if isinstance(asked, AIMessage) and asked.tool_calls else "close"


async def guard(
    request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
) -> ToolMessage | Command[Any]:
    """Make a call that is due; tell the model about any other."""
    call, state = request.tool_call, request.state
    problem = misuse(call, state, state["messages"])
    if problem is None:
        return await execute(request)
    return ToolMessage(problem, name=call["name"], tool_call_id=call["id"], status="error")


def close(state: Purchase) -> dict[str, Any]:
    """End with the shipment, or not at all."""
    shipment = outcomes(state["messages"]).get("ship")
    if shipment is None:
        said = state["messages"][-1].text[:200]
        raise NotShipped(f"the model has stopped before the goods were sent: {said!r}")
    return {"result": f"shipped:{shipment['id']}"}


def _build() -> StateGraph[Any, Any, Any, Any]:
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(Purchase, input_schema=Order)
    builder.add_node("open", open_order)
    builder.add_node(choose)
    builder.add_node("tools", ToolNode(TOOLS, handle_tool_errors=False, awrap_tool_call=guard))
    builder.add_node(close)
    builder.add_edge(START, "open")
    builder.add_edge("open", "choose")
    builder.add_conditional_edges("choose", after_choose)
    builder.add_edge("tools", "choose")
    return builder


graph = _build().compile(name="purchase")
