"""What the agent hands to people: the reply and the ticket. Pure; shared by both forms of the agent.

Ids are derived from the run and the content, so a step that is repeated in any process says the same again.
"""

import hashlib

from support.case import Case
from support.contract import Email, Ticket

__all__ = ["derived_id", "handover_ticket", "reply_mail"]


def derived_id(*parts: str) -> str:
    """32 hexadecimal digits that depend on `parts` alone, never on the process."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def reply_mail(case: Case) -> Email:
    """The approved draft as a mail to the customer."""
    return Email(to=case["customer_email"], subject="Re: your request", body=case["draft"])


def handover_ticket(case: Case, *, run_id: str) -> Ticket:
    """A ticket for a case that a person must take over: escalated, unclassified or never decided.

    Args:
        run_id: what is the same for every attempt of this run: a workflow id or thread id.
    """
    if case["decision"] == "expired":
        reason, note = "Nobody decided on the reply in time", f"Draft:\n{case['draft']}\n\n"
    elif case["category"] == "escalate":
        reason, note = "Escalated", ""
    else:
        reason, note = "Could not be classified", f"The model's last answer: {case['answer']}\n\n"
    body = f"{note}Message:\n{case['message']}"
    number = derived_id(run_id, reason, case["customer_email"], body)[:10].upper()
    return Ticket(
        id=f"T-{number}",
        title=f"{reason}: {_title(case['message'])}",
        body=body,
        email=case["customer_email"],
    )


def _title(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
