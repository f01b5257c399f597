"""What a dev server says of itself: its Prometheus metrics, from a port that only its process knows.

Found among the children of this process by its address, so it must have been started here.
"""

import re
import urllib.request
from collections import Counter
from contextlib import suppress

import psutil

# The server's names for the kinds of actions, by those of Temporal Cloud's metric.
_CLOUD = {
    "command_ScheduleActivityTask": "schedule_activity",
    "activity_retry": "retry_activity",
    "grpc_RecordActivityTaskHeartbeat": "record_activity_heartbeat",
    "grpc_StartWorkflowExecution": "start_workflow",
    "grpc_ExecuteMultiOperation": "start_workflow",
    "grpc_SignalWorkflowExecution": "signal_workflow",
    "grpc_QueryWorkflow": "query_workflow",
    "command_StartTimer": "start_timer",
    "command_UpsertWorkflowSearchAttributes": "upsert_workflow_search_attributes",
    "command_ModifyWorkflowProperties": "modify_workflow_properties",
    "command_ContinueAsNewWorkflowExecution": "continue_as_new_workflow",
    "message_UpdateWorkflowExecution_Acceptance": "accept_workflow_update",
}


def counted_actions(address: str) -> Counter[str]:
    """Actions so far in the namespace `default` of the server at `address`, by Temporal Cloud's names. They lag by a second or two."""
    found: Counter[str] = Counter()
    for labels, value in _series(address, "action"):
        if labels.get("namespace") == "default":
            kind = labels["action_type"]
            found[_CLOUD.get(kind, kind)] += value
    return found


def database_requests(address: str) -> Counter[str]:
    """Requests so far by operation, of all services of the server."""
    found: Counter[str] = Counter()
    for labels, value in _series(address, "persistence_requests"):
        found[labels["operation"]] += value
    return found


def _series(address: str, name: str) -> list[tuple[dict[str, str], int]]:
    return [
        (dict(re.findall(r'(\w+)="([^"]*)"', line)), int(float(line.rpartition(" ")[2])))
        for line in _text(address).splitlines()
        if line.startswith(name + "{")
    ]


def _text(address: str) -> str:
    known = int(address.rpartition(":")[2])
    for process in psutil.Process().children(recursive=True):
        ports: list[int] = []
        with suppress(psutil.Error):
            ports = [
                connection.laddr.port
                for connection in process.net_connections()
                if connection.status == psutil.CONN_LISTEN
            ]
        for port in ports if known in ports else ():
            with suppress(OSError, ValueError):
                text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
                if "# TYPE" in text:
                    return text
    raise RuntimeError(f"no child of this process serves {address} and tells metrics")
