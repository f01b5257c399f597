"""The names by which the sides call each other. A history holds them: never rename one.

Side: contract.
"""

from __future__ import annotations

THREAD_WORKFLOW = "perdure.thread"
RUN_NODE = "perdure.run_node"
RUN_TASK = "perdure.run_task"
RUN_EFFECT = "perdure.run_effect"
RUN_UNDO = "perdure.run_undo"

QUERY_STATE = "perdure.state"
QUERY_HISTORY = "perdure.history"
QUERY_RESTART = "perdure.restart"
QUERY_OWED = "perdure.owed"
QUERY_HAPPENED = "perdure.happened"
QUERY_NODE_INPUT = "perdure.node_input"
QUERY_TASKS = "perdure.task_outcomes"
SIGNAL_TASKS = "perdure.call_tasks"
UPDATE_RESUME = "perdure.resume"
UPDATE_STATE = "perdure.update_state"
UPDATE_START_RUN = "perdure.start_run"
UPDATE_CANCEL_RUN = "perdure.cancel_run"
UPDATE_RUN_RESULT = "perdure.run_result"

SEARCH_GRAPH = "PerdureGraph"
SEARCH_STATUS = "PerdureStatus"
SEARCH_PENDING = "PerdurePending"

DEFAULT_TASK_QUEUE = "perdure"

SEARCH_ATTRIBUTES = {SEARCH_GRAPH: "Keyword", SEARCH_STATUS: "Keyword", SEARCH_PENDING: "Int"}
"""Search attributes that `perdure setup` registers: name to Temporal type."""
