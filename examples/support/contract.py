"""What crosses the agent's boundaries: activity arguments and results, and the workflow's input.

Frozen dataclasses without behaviour, so that they are readable in the Temporal UI and restore exactly.
"""

from dataclasses import dataclass

__all__ = [
    "Email",
    "KBResult",
    "LLMRequest",
    "LLMResponse",
    "SearchArgs",
    "SupportInput",
    "Ticket",
]


@dataclass(frozen=True)
class SupportInput:
    """One customer's request."""

    customer_email: str
    message: str


@dataclass(frozen=True)
class LLMRequest:
    """One question to the model. `model` is a LangChain name; None takes the one in the settings."""

    system: str
    user: str
    model: str | None = None


@dataclass(frozen=True)
class LLMResponse:
    """The model's answer (never empty) and what it cost, in tokens."""

    text: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class SearchArgs:
    """A search in the knowledge base: any text, even the customer's whole message."""

    query: str
    limit: int = 5


@dataclass(frozen=True)
class KBResult:
    """A help article that was found, with the passage of it that fits best."""

    title: str
    url: str
    snippet: str


@dataclass(frozen=True)
class Ticket:
    """A case for a person. The id is derived by the sender, so a repeated request is the same ticket."""

    id: str
    title: str
    body: str
    email: str


@dataclass(frozen=True)
class Email:
    """A plain-text mail to one address."""

    to: str
    subject: str
    body: str
