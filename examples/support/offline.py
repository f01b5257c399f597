"""A chat model without a network: what the agent uses when no PERDURE_MODEL is set.

A LangChain model like any other, and deterministic: it sorts by keywords and drafts by quoting the best article.
It understands the two prompts in `prompts.py` and nothing else. Not a language model, and it says so.
"""

import html
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult

from support.prompts import CLASSIFY

__all__ = ["OfflineModel"]

# Word beginnings that speak for a category. Those of `escalate` win over any number of others.
_SIGNS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "escalate": re.compile(
            r"\b(?:lawyer|attorney|solicitor|legal action|court\b|sue\b|suing|regulator|ombudsman|the press\b"
            r"|journalist|breach|leaked|hacked|stolen|harass|threat|real person|speak to a human|your manager)"
        ),
        "billing": re.compile(
            r"\b(?:invoice|charge|refund|payment|paid\b|pay\b|card declined|credit card|bank|vat\b|tax\b|receipt"
            r"|price|pricing|subscription|renew|upgrade|downgrade|discount|trial|annual|seats?\b|cancel my)"
        ),
        "account": re.compile(
            r"\b(?:password|log in|login|sign in|signed out|sso\b|saml|two-factor|2fa|authenticator|locked"
            r"|my account|my e-?mail|invit|members?\b|roles?\b|permission|owner|delete my|notification)"
        ),
    }
)

_ARTICLE = re.compile(
    r"<article>\n<title>(?P<title>.*?)</title>\n<url>(?P<url>.*?)</url>\n<text>(?P<text>.*?)</text>\n</article>",
    re.DOTALL,
)


class OfflineModel(BaseChatModel):
    """Answers the agent's own two prompts; its usage counts four characters as a token."""

    @property
    def _llm_type(self) -> str:
        return "support-offline"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        system = "\n".join(message.text for message in messages if isinstance(message, SystemMessage))
        user = "\n".join(message.text for message in messages if not isinstance(message, SystemMessage))
        text = _category(user) if system == CLASSIFY else _draft(user)
        used, written = _tokens(system + user), _tokens(text)
        usage = UsageMetadata(input_tokens=used, output_tokens=written, total_tokens=used + written)
        answer = AIMessage(text, usage_metadata=usage, response_metadata={"model_name": "offline"})
        return ChatResult(generations=[ChatGeneration(message=answer)])


def _category(user: str) -> str:
    message = " ".join(user.lower().split())
    hits = {name: len(signs.findall(message)) for name, signs in _SIGNS.items()}
    if hits["escalate"]:
        return "escalate"
    return max(hits, key=hits.__getitem__) if any(hits.values()) else "faq"


def _draft(user: str) -> str:
    # The articles follow the customer's message, which is escaped and cannot hold a tag.
    found = [_fields(match) for match in _ARTICLE.finditer(user)]
    if not found:
        answer = "A colleague will look into your request and write to you."
    else:
        title, url, text = found[0]
        answer = f"{text}\n\nThe whole article, “{title}”: {url}"
        if len(found) > 1:
            answer += f"\nThis may help as well, “{found[1][0]}”: {found[1][1]}"
    return f"Hello,\n\nthank you for writing to us.\n\n{answer}\n\nKind regards,\nThe Corkline support team"


def _fields(match: re.Match[str]) -> tuple[str, str, str]:
    title, url, text = (html.unescape(match[name]) for name in ("title", "url", "text"))
    return title, url, text


def _tokens(text: str) -> int:
    return max(1, len(text) // 4)
