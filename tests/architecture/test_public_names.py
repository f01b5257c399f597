"""The public names. Widening the API shows here; narrowing it breaks somebody."""

from __future__ import annotations

import subprocess
import sys

import perdure
import perdure.client
import perdure.testing
import perdure.testing.providers


def test_the_roots_names_are_frozen_and_load() -> None:
    assert perdure.__all__ == [
        "FOR_EVER",
        "LLM_RETRY",
        "TOOL_RETRY",
        "Budget",
        "PerdureClient",
        "PerdureError",
        "PerdurePlugin",
        "RateLimit",
        "RunCancelled",
        "RunFailed",
        "RunHandle",
        "RunLimits",
        "Saga",
        "Verdict",
        "commit_effects",
        "connect",
        "current_effect",
        "durable",
        "effect",
        "fallback",
        "run_graph",
        "structured",
    ]
    for name in perdure.__all__:
        assert getattr(perdure, name) is not None


def test_the_names_of_testing_and_client_are_frozen() -> None:
    assert sorted(perdure.client.__all__) == ["PerdureClient", "RunHandle", "connect"]
    assert sorted(perdure.testing.__all__) == [
        "Delay",
        "Malformed",
        "PerdureEnvironment",
        "ScriptExhausted",
        "ScriptedChatModel",
        "replay",
    ]
    assert sorted(perdure.testing.providers.__all__) == [
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


def test_importing_perdure_is_cheap() -> None:
    code = "import sys, perdure; print([m for m in ('langgraph', 'temporalio', 'langchain_core') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
