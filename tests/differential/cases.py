"""All hand-written cases. Their ideas are LangGraph's own tests: what is tried there must come out the same here."""

from __future__ import annotations

import cases_errors
import cases_flow
import cases_interrupts
import cases_state
import cases_subgraphs
from case_table import CASES

__all__ = ["CASES", "cases_errors", "cases_flow", "cases_interrupts", "cases_state", "cases_subgraphs"]
