"""What a worker logs: a line for each failed attempt of a node, with the place in the user's code, and what the code says.

Side: cli. For a person, or as JSON (`PERDURE_LOG=json`) with thread, node, step and attempt, and the trace where there is one.
What code in a workflow (routers, reducers) logs is logged once, and not again when it is replayed.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opentelemetry import trace
from temporalio import activity, workflow

from perdure.errors import ConfigError
from perdure.worker.metrics import call_under_way
from perdure.workflows.thread import ThreadWorkflow

__all__ = ["LOG_VARIABLE", "log_to_stderr"]

LOG_VARIABLE = "PERDURE_LOG"

_PACKAGE = Path(__file__).parent.parent
_STDLIB = Path(traceback.__file__).parent


def log_to_stderr(*, debug: bool) -> None:
    """Send warnings and errors to stderr: in a line each, with `debug` with their tracebacks too.

    Raises:
        ConfigError: when PERDURE_LOG is neither "console" nor "json".
    """
    form = os.environ.get(LOG_VARIABLE) or "console"
    if form not in ("console", "json"):
        raise ConfigError(f"{LOG_VARIABLE} is {form!r}: console or json")
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False
    handler = logging.StreamHandler()
    handler.addFilter(_is_new)
    handler.setFormatter(_Json(tracebacks=debug) if form == "json" else _Lines(tracebacks=debug))
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, handlers=[handler])


def _is_new(record: logging.LogRecord) -> bool:
    return not (workflow.in_workflow() and workflow.unsafe.is_replaying())


class _Json(logging.Formatter):
    def __init__(self, *, tracebacks: bool) -> None:
        super().__init__()
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": "attempt failed" if _is_failed_attempt(record) else record.getMessage(),
            **_place_in_run(),
        }
        if record.exc_info is not None and record.exc_info[1] is not None:
            cause = _root(record.exc_info[1])
            told["error"] = {"type": type(cause).__name__, "message": str(cause), "at": _place(cause)}
            if self._tracebacks:
                told["error"]["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


def _is_failed_attempt(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and hasattr(record, "temporal_activity")


def _place_in_run() -> dict[str, Any]:
    """Where the code under way belongs."""
    told: dict[str, Any] = {}
    if workflow.in_workflow():
        info = workflow.info()
        told |= {"thread": info.workflow_id, "temporal_run": info.run_id}
        if isinstance(thread := workflow.instance(), ThreadWorkflow):
            told |= thread.place()
    elif activity.in_activity():
        about = activity.info()
        told |= {"thread": about.workflow_id, "temporal_run": about.workflow_run_id, "attempt": about.attempt}
        if (call := call_under_way.get()) is not None:
            told |= {"graph": call.graph, "node": "/".join(call.path), "step": call.step}
            told |= {"run": call.run} if call.run else {}
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        told |= {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    return told


class _Lines(logging.Formatter):
    def __init__(self, *, tracebacks: bool) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        if self._tracebacks or record.exc_info is None or record.exc_info[1] is None:
            return super().format(record)
        cause = _root(record.exc_info[1])
        info: dict[str, Any] = getattr(record, "temporal_activity", {})
        what = f"{record.name}: {record.getMessage()}"
        if info:
            node = str(info["activity_id"]).rpartition(":")[0]
            what = f"node {node} of thread {info['workflow_id']}, attempt {info['attempt']}"
        text = " ".join(str(cause).split())
        return f"{record.levelname} {what}: {type(cause).__name__}: {text}{f' ({at})' if (at := _place(cause)) else ''}"


def _root(error: BaseException) -> BaseException:
    """Perdure raises its own failure from the user's exception."""
    while error.__cause__ is not None and type(error).__module__.startswith(("temporalio.", "perdure.")):
        error = error.__cause__
    return error


def _place(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(Path(frame.filename))]
    return f"{frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name}" if frames else ""


def _is_users(file: Path) -> bool:
    return not (
        file.is_relative_to(_PACKAGE) or file.is_relative_to(_STDLIB) or "site-packages" in file.parts
    )
