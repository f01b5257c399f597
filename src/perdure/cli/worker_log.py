"""What a worker logs: a line for each failed attempt of a node, with the place in the user's code. Side: cli."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

from temporalio import activity

__all__ = ["log_to_stderr"]

_PACKAGE = Path(__file__).parent.parent
_STDLIB = Path(traceback.__file__).parent


def log_to_stderr(*, debug: bool) -> None:
    """Send warnings and errors to stderr: in a line each, with `debug` with their tracebacks too."""
    activity.logger.activity_info_on_message = False
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines(tracebacks=debug))
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, handlers=[handler])


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
        return f"{record.levelname} {what}: {type(cause).__name__}: {text}{_place(cause)}"


def _root(error: BaseException) -> BaseException:
    """Perdure raises its own failure from the user's exception."""
    while error.__cause__ is not None and type(error).__module__.startswith(("temporalio.", "perdure.")):
        error = error.__cause__
    return error


def _place(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(Path(frame.filename))]
    return f" ({frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""


def _is_users(file: Path) -> bool:
    return not (
        file.is_relative_to(_PACKAGE) or file.is_relative_to(_STDLIB) or "site-packages" in file.parts
    )
