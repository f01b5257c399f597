"""Crash at every event: is nothing lost, doubled or stuck, wherever a fault comes? Public.

report = await explore(graph, input, world=..., oracle=...)
report.assert_ok()
"""

from __future__ import annotations

from perdure.testing.faults.checks import Violation
from perdure.testing.faults.ending import Ending
from perdure.testing.faults.explorer import explore
from perdure.testing.faults.plan import Fault, Plan
from perdure.testing.faults.processes import explore_processes
from perdure.testing.faults.report import Report, Tried

__all__ = ["Ending", "Fault", "Plan", "Report", "Tried", "Violation", "explore", "explore_processes"]
