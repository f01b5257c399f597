"""The agent's state and its routes. Pure; shared by both forms, so that they cannot drift apart.

search → classify ─┬─ faq, account, billing → draft → decide ─┬─ approve → send → END
            ↑      │                                          ├─ reject  → END
            └──────┤ outside the set, fewer than 3 asks       └─ expired → ticket → END
                   └─ escalate, or outside the set 3 times → ticket → END
"""

from typing import Any, Literal, TypedDict

from support.contract import KBResult

__all__ = ["APPROVAL_SECONDS", "MAX_ASKS", "Case", "Request", "after_classify", "after_decide", "new_case"]

MAX_ASKS = 3
"""How often the model is asked for a category before a person gets the case."""

APPROVAL_SECONDS = 24 * 60 * 60
"""How long a draft waits for a decision."""


class Request(TypedDict):
    """What a run starts with."""

    customer_email: str
    message: str


class Case(Request):
    """A request on its way; `result` is set at the end and is a line for people and machines.

    `result`: `sent`, `rejected`, `escalated:<ticket id>` or `expired:<ticket id>`.
    """

    entries: list[KBResult]
    asks: int
    answer: str | None
    category: str | None
    draft: str
    decision: Literal["approve", "reject", "expired"] | None
    result: str | None


def new_case(entries: list[KBResult]) -> dict[str, Any]:
    """The first update of every run. A thread keeps its state between runs: nothing of the last may count."""
    return {
        "entries": entries,
        "asks": 0,
        "answer": None,
        "category": None,
        "draft": "",
        "decision": None,
        "result": None,
    }


def after_classify(case: Case) -> Literal["draft", "classify", "ticket"]:
    """Where a case goes once the model has answered."""
    if case["category"] is None:
        return "classify" if case["asks"] < MAX_ASKS else "ticket"
    return "ticket" if case["category"] == "escalate" else "draft"


def after_decide(case: Case) -> Literal["send", "ticket", "__end__"]:
    """Where a case goes once a person has decided, or nobody has in time."""
    match case["decision"]:
        case "approve":
            return "send"
        case "expired":
            return "ticket"
        case _:
            return "__end__"
