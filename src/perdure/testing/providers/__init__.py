"""Model providers on loopback that speak the real protocols and fail the way real ones do. Public.

They need the extra `testing` (uvicorn).
"""

from __future__ import annotations

from perdure.testing.providers.anthropic import FakeAnthropic
from perdure.testing.providers.openai import FakeOpenAI
from perdure.testing.providers.script import Broken, Call, Reply, Reset, Stall, Status, ToolCall

__all__ = [
    "Broken",
    "Call",
    "FakeAnthropic",
    "FakeOpenAI",
    "Reply",
    "Reset",
    "Stall",
    "Status",
    "ToolCall",
]
