"""What a model call costs, in US dollars: prices from `genai-prices` (the extra `prices`), never from a table of our own.

Side: activities. Prices are those that the installed release of that package knows; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from perdure.contract.limits import RunLimits

try:
    import genai_prices
except ImportError:
    genai_prices = None

__all__ = ["missing_prices", "price_of", "prices_known"]

# LangChain's names for a model's provider, by package → those of genai-prices.
_PROVIDERS = {
    "langchain_openai": "openai",
    "langchain_anthropic": "anthropic",
    "langchain_google_genai": "google",
    "langchain_google_vertexai": "google",
    "langchain_groq": "groq",
    "langchain_mistralai": "mistral",
    "langchain_cohere": "cohere",
    "langchain_deepseek": "deepseek",
    "langchain_xai": "x-ai",
    "langchain_aws": "aws",
}


def prices_known() -> bool:
    """Whether the package with the prices is installed."""
    return genai_prices is not None


def missing_prices(limits: RunLimits) -> str:
    """Why these limits cannot be kept; empty when they can, as far as that is known before a model is called."""
    in_money = [budget for budget in (limits.budget, limits.thread_budget) if budget and budget.money]
    if not in_money or prices_known():
        return ""
    return "there is a budget in money, and no package that knows prices"


def price_of(name: str, model: Any, usages: Iterable[Mapping[str, Any]]) -> float | None:
    """Of one call of `model`, which answered as `name`; `None` where that is not known.

    Args:
        usages: LangChain's `usage_metadata` of the answers.
    """
    if genai_prices is None:
        return None
    used = [_used(usage) for usage in usages if usage]
    if not used:
        return None
    provider = _PROVIDERS.get(type(model).__module__.partition(".")[0])
    try:
        return sum(
            float(genai_prices.calc_price(one, model_ref=name, provider_id=provider).total_price)
            for one in used
        )
    except (LookupError, ValueError):
        return None


def _used(usage: Mapping[str, Any]) -> Any:
    assert genai_prices is not None
    details: Mapping[str, Any] = usage.get("input_token_details") or {}
    return genai_prices.Usage(
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        cache_read_tokens=details.get("cache_read"),
        cache_write_tokens=details.get("cache_creation"),
    )
