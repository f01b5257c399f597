"""How often the library form tries: the presets of Perdure, time limits, and the bound on bad classifications."""

from datetime import timedelta

from perdure import LLM_RETRY, TOOL_RETRY
from support.case import MAX_ASKS

__all__ = ["LLM_RETRY", "LLM_TIMEOUT", "MAX_ASKS", "TOOL_RETRY", "TOOL_TIMEOUT"]

LLM_TIMEOUT = timedelta(seconds=60)
"""For one attempt at the model; longer than the client's own limit, so that its clearer error comes first."""

TOOL_TIMEOUT = timedelta(seconds=30)
"""For one attempt at a tool."""
