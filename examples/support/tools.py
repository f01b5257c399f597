"""SIDE EFFECTS: the agent's four tools, with the settings of this process. Both forms of the agent call these.

Errors are those of `support.errors` and, from the model, the provider's own.
"""

from support import kb, mail, model, tickets
from support.contract import Email, KBResult, LLMRequest, LLMResponse, SearchArgs, Ticket
from support.settings import Settings

__all__ = ["complete", "deliver", "open_ticket", "search"]


async def search(args: SearchArgs) -> list[KBResult]:
    """Help articles for any text, best first."""
    return kb.knowledge_base().search(args.query, limit=args.limit)


async def complete(request: LLMRequest) -> LLMResponse:
    """One answer from the model."""
    return await model.complete(request, Settings.from_env())


async def open_ticket(ticket: Ticket) -> str:
    """Open a ticket once, however often it is called; returns its id."""
    return await tickets.open_ticket(ticket, Settings.from_env())


async def deliver(email: Email, *, key: str) -> None:
    """Send a mail; the same `key` gives the same Message-ID."""
    await mail.deliver(email, Settings.from_env(), key=key)
