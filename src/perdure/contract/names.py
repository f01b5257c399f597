"""The names by which the sides call each other. A history holds them: never rename one.

Side: contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

THREAD_WORKFLOW = "perdure.thread"
RUN_NODE = "perdure.run_node"
RUN_TASK = "perdure.run_task"
RUN_EFFECT = "perdure.run_effect"
RUN_UNDO = "perdure.run_undo"
CRON_WORKFLOW = "perdure.cron"
WEBHOOK_WORKFLOW = "perdure.webhook"
DELETE_THREAD = "perdure.delete_thread"
SEND_WEBHOOK = "perdure.send_webhook"

QUERY_STATE = "perdure.state"
QUERY_HISTORY = "perdure.history"
QUERY_RESTART = "perdure.restart"
QUERY_OWED = "perdure.owed"
QUERY_HAPPENED = "perdure.happened"
QUERY_RUNS = "perdure.runs"
QUERY_NODE_INPUT = "perdure.node_input"
QUERY_TASKS = "perdure.task_outcomes"
SIGNAL_TASKS = "perdure.call_tasks"
SIGNAL_START_RUN = "perdure.start_run_if_possible"
UPDATE_RESUME = "perdure.resume"
UPDATE_STATE = "perdure.update_state"
UPDATE_START_RUN = "perdure.start_run"
UPDATE_CANCEL_RUN = "perdure.cancel_run"
UPDATE_RUN_RESULT = "perdure.run_result"
UPDATE_CANCEL = "perdure.cancel"
UPDATE_FORGET_RUN = "perdure.forget_run"
UPDATE_PRUNE = "perdure.prune"
UPDATE_METADATA = "perdure.update_metadata"

SEARCH_GRAPH = "PerdureGraph"
SEARCH_STATUS = "PerdureStatus"
SEARCH_PENDING = "PerdurePending"
SEARCH_METADATA = "PerdureMetadata"
SEARCH_ASKED = "PerdureAsked"

DEFAULT_TASK_QUEUE = "perdure"

SEARCH_ATTRIBUTES = {
    SEARCH_GRAPH: "Keyword",
    SEARCH_STATUS: "Keyword",
    SEARCH_PENDING: "Int",
    SEARCH_METADATA: "KeywordList",
    SEARCH_ASKED: "Datetime",
}
"""Search attributes that `perdure setup` registers: name to Temporal type."""

BASE_ATTRIBUTES = frozenset(SEARCH_ATTRIBUTES) - {SEARCH_ASKED}
"""Those that there were from the beginning: a namespace that has no others is searched by them."""

_LONGEST_TERM = 200
_MOST_TERMS = 50


def metadata_terms(metadata: Mapping[str, Any]) -> list[str]:
    """What of a thread's metadata can be searched for, as "key=value": plain values that are short."""
    terms = [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in metadata.items()
        if isinstance(value, (str, int, float))
    ]
    return [term for term in terms if len(term) <= _LONGEST_TERM][:_MOST_TERMS]
