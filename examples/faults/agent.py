"""The agent: LangChain's own, with one tool. It knows nothing of Perdure, and nothing of failures."""

from typing import Any

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool

__all__ = ["PAGES", "TOTAL", "ledger_agent"]

PAGES = tuple(17 * number + 5 for number in range(1, 20))
"""The amount on each page of the ledger."""

TOTAL = sum(PAGES)


@tool
def read_page(number: int) -> int:
    """The amount on a page of the ledger, counting from 1."""
    return PAGES[number - 1]


def ledger_agent(base_url: str) -> Any:
    """The agent, with a model at `base_url`."""
    # A provider that is silent for so long has had its turn: the demo should not take all day.
    model = ChatAnthropic(
        model="claude-sonnet-5", base_url=base_url, api_key="no-key-needed", streaming=True, timeout=5
    )
    prompt = f"Read pages 1 to {len(PAGES)} of the ledger, one after the other, and say what they come to."
    return create_agent(model, [read_page], system_prompt=prompt)
