"""SIDE EFFECTS: the tools as Temporal activities, for the library form. Their names are the functions' names.

Each is safe to repeat: reading changes nothing, the ticket's id is its idempotency key, and a repeated mail
carries the same Message-ID.
"""

from collections.abc import Generator
from contextlib import contextmanager

from temporalio import activity
from temporalio.exceptions import ApplicationError

from support import tools
from support.contract import Email, KBResult, LLMRequest, LLMResponse, SearchArgs, SupportInput, Ticket
from support.errors import Refused
from support.outbox import derived_id

__all__ = [
    "Email",
    "KBResult",
    "LLMRequest",
    "LLMResponse",
    "SearchArgs",
    "SupportInput",
    "Ticket",
    "call_llm",
    "create_ticket",
    "search_kb",
    "send_email",
]


@activity.defn
async def call_llm(request: LLMRequest) -> LLMResponse:
    """Ask the model once."""
    with _refusals_are_final():
        return await tools.complete(request)


@activity.defn
async def search_kb(args: SearchArgs) -> list[KBResult]:
    """Search the knowledge base."""
    return await tools.search(args)


@activity.defn
async def create_ticket(ticket: Ticket) -> str:
    """Open the ticket and return its id."""
    with _refusals_are_final():
        return await tools.open_ticket(ticket)


@activity.defn
async def send_email(email: Email) -> None:
    """Send the mail."""
    key = derived_id(activity.info().workflow_id or "", "reply", email.to, email.body)
    with _refusals_are_final():
        await tools.deliver(email, key=key)


@contextmanager
def _refusals_are_final() -> Generator[None]:
    """A retry cannot change a refusal, so Temporal must not wait for one."""
    try:
        yield
    except Refused as error:
        raise ApplicationError(str(error), type="Refused", non_retryable=True) from error
