"""The agent as a plain LangGraph graph: it knows nothing of Perdure, and runs without it.

Each node has at most one side effect, because the node is what is repeated after a crash. Ids are derived from
the thread, so a repeated node asks for the same ticket and sends the same mail.

The decision is an interrupt. Two keys of its value are a convention of Perdure, which plain LangGraph ignores:
after `expires_in` seconds without a decision it is resumed with `on_expiry`.
"""

from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from support import tools
from support.case import APPROVAL_SECONDS, Case, Request, after_classify, after_decide, new_case
from support.contract import SearchArgs
from support.outbox import derived_id, handover_ticket, reply_mail
from support.prompts import classify_request, draft_request, read_category

__all__ = ["graph"]


async def search(state: Request) -> dict[str, Any]:
    """Find help articles; also clears what an earlier run on the same thread left behind."""
    return new_case(await tools.search(SearchArgs(state["message"])))


async def classify(state: Case) -> dict[str, Any]:
    """Ask for the category once; the route comes back here while the answer is outside the set."""
    answer = (await tools.complete(classify_request(state["message"], state["answer"]))).text
    return {"asks": state["asks"] + 1, "answer": answer, "category": read_category(answer)}


async def draft(state: Case) -> dict[str, Any]:
    """Write a reply from the articles."""
    return {"draft": (await tools.complete(draft_request(state["message"], state["entries"]))).text}


def decide(state: Case) -> dict[str, Any]:
    """Wait for a person. An answer that cannot be understood is put back to them."""
    question: dict[str, Any] = {
        "question": "Send this reply?",
        "draft": state["draft"],
        "to": state["customer_email"],
        "options": ["approve", "edit", "reject"],
        "expires_in": APPROVAL_SECONDS,
        "on_expiry": {"type": "expired"},
    }
    update = read_decision(interrupt(question))
    while update is None:
        problem = 'Answer "approve", "reject" or {"type": "edit", "draft": "the new text"}.'
        update = read_decision(interrupt({**question, "problem": problem}))
    return update


async def send(state: Case, config: RunnableConfig) -> dict[str, Any]:
    """Mail the approved reply."""
    await tools.deliver(reply_mail(state), key=derived_id(_thread(config), "reply", state["draft"]))
    return {"result": "sent"}


async def ticket(state: Case, config: RunnableConfig) -> dict[str, Any]:
    """Hand the case to a person."""
    ticket_id = await tools.open_ticket(handover_ticket(state, run_id=_thread(config)))
    return {"result": f"{'expired' if state['decision'] == 'expired' else 'escalated'}:{ticket_id}"}


def read_decision(answer: object) -> dict[str, Any] | None:
    """The state's update for a decision, given as a word or as an object with a `type`; None if it is neither."""
    fields = cast(dict[str, Any], answer) if isinstance(answer, dict) else {"type": answer}
    match fields:
        case {"type": "approve"}:
            return {"decision": "approve"}
        case {"type": "edit", "draft": str(text)} if text.strip():
            return {"decision": "approve", "draft": text}
        case {"type": "reject"}:
            return {"decision": "reject", "result": "rejected"}
        case {"type": "expired"}:
            return {"decision": "expired"}
        case _:
            return None


def _thread(config: RunnableConfig) -> str:
    return str(config.get("configurable", {}).get("thread_id", "no thread"))


def _build() -> StateGraph[Any, Any, Any, Any]:
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(Case, input_schema=Request)
    for node in (search, classify, draft, decide, send, ticket):
        builder.add_node(node)
    builder.add_edge(START, "search")
    builder.add_edge("search", "classify")
    builder.add_conditional_edges("classify", after_classify)
    builder.add_edge("draft", "decide")
    builder.add_conditional_edges("decide", after_decide)
    return builder


graph = _build().compile(name="support")
