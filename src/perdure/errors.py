"""The error tree. Either side; owns every exception that Perdure itself raises, but for those of one module alone.

Each message says what went wrong, with which name, and how to put it right. An error's class name is its type in
Temporal (`ApplicationError.type`); `retryable` says whether trying again could help, the docstring says why.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "CompensationIncomplete",
    "ConfigError",
    "EffectConflict",
    "EffectInDoubt",
    "EffectUnknown",
    "GraphLoadError",
    "GraphNotFound",
    "InputInvalid",
    "InterruptUnknown",
    "NodeFailed",
    "PayloadError",
    "PayloadNotSerializable",
    "PayloadTooLarge",
    "PayloadTypeUnknown",
    "PerdureError",
    "RemoteError",
    "RunCancelled",
    "RunFailed",
    "ServerUnreachable",
    "StateUpdateRefused",
    "TaskNotFound",
    "TaskNotTaken",
    "ThreadBusy",
    "ThreadNotFound",
]


class PerdureError(Exception):
    """Base of everything that Perdure raises."""

    retryable: ClassVar[bool] = False


class ConfigError(PerdureError):
    """`langgraph.json` or a setting is wrong. A retry reads the same file."""


class GraphNotFound(PerdureError):
    """No graph of that name is registered. A retry looks into the same registry."""


class GraphLoadError(PerdureError):
    """A graph's module or attribute could not be loaded. A retry imports the same code."""


class InputInvalid(PerdureError):
    """The input does not fit the graph's input schema. A retry sends the same input."""


class ServerUnreachable(PerdureError):
    """No Temporal server answers at the address; one may be starting."""

    retryable = True


class TaskNotFound(PerdureError):
    """This worker has not the code of a `@task`; while a deployment is rolled out, another worker may have it."""

    retryable = True


class TaskNotTaken(PerdureError):
    """The workflow does not know a `@task` call that it was asked for; a new attempt of the node asks again."""

    retryable = True


class ThreadNotFound(PerdureError):
    """No thread, or no run of it, has that id."""


class ThreadBusy(PerdureError):
    """A run was refused, as its thread has one already; one that is under way cannot be forgotten either."""


class InterruptUnknown(PerdureError):
    """The answer names an interrupt that does not wait (any more). It was refused and is not in the history."""


class EffectUnknown(PerdureError):
    """This worker's code has no effect of that name; while a deployment is rolled out, another worker may have it."""

    retryable = True


class EffectInDoubt(PerdureError):
    """An effect may have happened and was declared not to be tried again then. A retry would be just that."""


class EffectConflict(PerdureError):
    """An effect was called again with other arguments than before an interruption. A retry has the same."""


class CompensationIncomplete(PerdureError):
    """Not everything that a run did could be undone; a person must see to it."""


class StateUpdateRefused(PerdureError):
    """A thread's state could not be changed by hand; nothing was written. The thread runs, or the values do not fit."""


class PayloadError(PerdureError):
    """A value could not cross between processes. A retry cannot help: the same value fails again."""


class PayloadTypeUnknown(PayloadError):
    """A payload names a type that is not on the allow-list, so it is not revived."""


class PayloadNotSerializable(PayloadError):
    """A value has no payload form that would restore it exactly."""


class PayloadTooLarge(PayloadError):
    """A value is larger than Temporal takes in one payload (2 MiB, `limit.blobSize.error`)."""

    limit_bytes: ClassVar[int] = 1_900_000
    """What Perdure lets pass; the rest is for what surrounds the value."""


class RemoteError(PerdureError):
    """Stands for an exception whose class is not known in this process.

    Attributes:
        class_name: the class as the other process named it, such as `"httpx.ConnectError"`.
        message: `str()` of the original.
    """

    def __init__(self, class_name: str, message: str) -> None:
        super().__init__(class_name, message)
        self.class_name = class_name
        self.message = message

    def __str__(self) -> str:
        return f"{self.class_name}: {self.message}" if self.message else self.class_name


class NodeFailed(PerdureError):
    """A node failed for good: its retries are used up, or could not have helped.

    Attributes:
        node: the node's path, such as `"agent/tools"`.
        cause_type, cause: class name and message of its last error.
        attempts: how often it was tried; 0 where that is unknown.
        original: the exception itself where it could be restored.
    """

    def __init__(
        self, *, node: str, cause_type: str, cause: str, attempts: int, original: BaseException | None = None
    ) -> None:
        self.node = node
        self.cause_type = cause_type
        self.cause = cause
        self.attempts = attempts
        self.original = original
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        super().__init__(f"node {node!r} failed{tried}: {cause_type}: {cause}")


class RunFailed(PerdureError):
    """A run ended in failure.

    Attributes:
        thread_id: the thread's id.
        node: the path of the node that is to blame, where one is.
        cause_type: class name of the last error.
        details: what else the failure says, as plain data.
    """

    def __init__(
        self,
        message: str,
        *,
        thread_id: str = "",
        node: str | None = None,
        cause_type: str = "",
        details: Any = None,
    ) -> None:
        super().__init__(message)
        self.thread_id = thread_id
        self.node = node
        self.cause_type = cause_type
        self.details = details


class RunCancelled(RunFailed):
    """A run was cancelled, or its thread terminated, before it came to an end."""
