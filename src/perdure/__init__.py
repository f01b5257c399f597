"""Perdure runs LangGraph agents, unchanged, on Temporal, so that they always finish.

The names here are for authors of graphs and workflows. They load when they are first used: `import perdure` is cheap, and
workflow code may do it inside Temporal's sandbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.activities.fallback import fallback
    from perdure.client import PerdureClient, RunHandle, connect
    from perdure.contract.budget import Budget
    from perdure.contract.limits import FOR_EVER, RateLimit, RunLimits
    from perdure.contract.policy import LLM_RETRY, TOOL_RETRY, durable
    from perdure.contract.verdict import Verdict
    from perdure.errors import PerdureError, RunCancelled, RunFailed
    from perdure.graph.effect import commit_effects, current_effect, effect
    from perdure.graph.inline import run_graph
    from perdure.graph.structured import structured
    from perdure.worker.plugin import PerdurePlugin
    from perdure.workflows.saga import Saga

__version__ = "0.1.0"

_HOME = {
    "FOR_EVER": "perdure.contract.limits",
    "Budget": "perdure.contract.budget",
    "LLM_RETRY": "perdure.contract.policy",
    "PerdureClient": "perdure.client",
    "PerdureError": "perdure.errors",
    "PerdurePlugin": "perdure.worker.plugin",
    "RateLimit": "perdure.contract.limits",
    "RunCancelled": "perdure.errors",
    "RunFailed": "perdure.errors",
    "RunHandle": "perdure.client",
    "RunLimits": "perdure.contract.limits",
    "current_effect": "perdure.graph.effect",
    "effect": "perdure.graph.effect",
    "fallback": "perdure.activities.fallback",
    "Saga": "perdure.workflows.saga",
    "TOOL_RETRY": "perdure.contract.policy",
    "Verdict": "perdure.contract.verdict",
    "commit_effects": "perdure.graph.effect",
    "connect": "perdure.client",
    "durable": "perdure.contract.policy",
    "run_graph": "perdure.graph.inline",
    "structured": "perdure.graph.structured",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'perdure' has no attribute {name!r}")
    # Not importlib: within Temporal's sandbox only the import statement's own function is the sandbox's.
    return getattr(__import__(home, fromlist=(name,)), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
