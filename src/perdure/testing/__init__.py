"""Testing agents on a real Temporal server: environments, scripted models, recorded histories. Public."""

from __future__ import annotations

from perdure.testing.environment import PerdureEnvironment
from perdure.testing.histories import replay
from perdure.testing.models import Delay, Malformed, ScriptedChatModel, ScriptExhausted

__all__ = ["Delay", "Malformed", "PerdureEnvironment", "ScriptExhausted", "ScriptedChatModel", "replay"]
