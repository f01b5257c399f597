"""From a word or a text to the answer that an interrupt wants. Side: cli. Pure.

Two conventions are known; any other value is answered with what is typed.

| the interrupt's value                                        | what "approve" sends                          |
|--------------------------------------------------------------|-----------------------------------------------|
| LangChain's `HumanInTheLoopMiddleware` (`action_requests`)   | `{"decisions": [{"type": "approve"}, ...]}`   |
| anything else, with or without `options`                     | `"approve"`                                   |
"""

from __future__ import annotations

import json
from typing import Any, cast

__all__ = ["actions", "answer_for", "edited", "match_option", "options", "parse"]

_EDITABLE = ("draft", "text", "content")


def parse(text: str) -> Any:
    """JSON where the text is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def options(value: Any) -> list[str]:
    """The words that the interrupt offers; empty when it names none."""
    if not isinstance(value, dict):
        return []
    fields = cast("dict[str, Any]", value)
    if actions(value):
        configs: list[Any] = fields.get("review_configs") or []
        allowed = [config["allowed_decisions"] for config in configs if config.get("allowed_decisions")]
        common = [word for word in allowed[0] if all(word in words for words in allowed)] if allowed else []
        return [word for word in common if word in ("approve", "reject")]
    offered = fields.get("options")
    return [word for word in offered if isinstance(word, str)] if isinstance(offered, list) else []


def actions(value: Any) -> list[dict[str, Any]]:
    """The tool calls that LangChain's middleware asks about; empty for any other interrupt."""
    found = cast("dict[str, Any]", value).get("action_requests") if isinstance(value, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def answer_for(value: Any, answer: Any) -> Any:
    """`answer` in the form that the interrupt understands."""
    asked = actions(value)
    if asked and answer in ("approve", "reject"):
        return {"decisions": [{"type": answer} for _ in asked]}
    return answer


def match_option(word: str, offered: list[str]) -> str | None:
    """The option that the word is, or the only one that it begins."""
    if word in offered:
        return word
    found = [option for option in offered if word and option.lower().startswith(word.lower())]
    return found[0] if len(found) == 1 else None


def edited(value: Any) -> tuple[str, str] | None:
    """The field that "edit" is about, and its text: the first of draft, text, content; `None` without such a field."""
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, Any]", value)
    return next(((key, fields[key]) for key in _EDITABLE if isinstance(fields.get(key), str)), None)
