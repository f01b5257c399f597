"""Testing agents on a real Temporal server: environments, scripted models. Public."""

from __future__ import annotations

from perdure.testing.environment import PerdureEnvironment

__all__ = ["PerdureEnvironment"]
