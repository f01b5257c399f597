"""The names by which the sides call each other. A history holds them: never rename one.

Side: contract.
"""

from __future__ import annotations

THREAD_WORKFLOW = "perdure.thread"
RUN_NODE = "perdure.run_node"

QUERY_STATE = "perdure.state"
QUERY_NODE_INPUT = "perdure.node_input"
UPDATE_RESUME = "perdure.resume"
UPDATE_START_RUN = "perdure.start_run"
UPDATE_CANCEL_RUN = "perdure.cancel_run"
UPDATE_RUN_RESULT = "perdure.run_result"

SEARCH_GRAPH = "PerdureGraph"
SEARCH_STATUS = "PerdureStatus"
SEARCH_PENDING = "PerdurePending"

DEFAULT_TASK_QUEUE = "perdure"

SEARCH_ATTRIBUTES = {SEARCH_GRAPH: "Keyword", SEARCH_STATUS: "Keyword", SEARCH_PENDING: "Int"}
"""Search attributes that `perdure setup` registers: name to Temporal type."""
