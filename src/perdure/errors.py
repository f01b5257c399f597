"""The error tree. Either side; owns every exception that Perdure itself raises, but for those of one module alone.

Each message says what went wrong, with which name, and how to put it right. An error's class name is its type in
Temporal (`ApplicationError.type`); `retryable` says whether trying again could help, the docstring says why.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "ApprovalExpired",
    "BudgetExhausted",
    "CompensationIncomplete",
    "ConfigError",
    "EffectConflict",
    "EffectInDoubt",
    "EffectUnknown",
    "GraphLoadError",
    "GraphNotFound",
    "InputInvalid",
    "InterruptUnknown",
    "ModelOutputError",
    "NodeFailed",
    "OutputCallInvalid",
    "OutputEmpty",
    "OutputIncomplete",
    "OutputMalformed",
    "OutputRefused",
    "OutputTruncated",
    "PayloadError",
    "PayloadNotSerializable",
    "PayloadTooLarge",
    "PayloadTypeUnknown",
    "PerdureError",
    "RemoteError",
    "RunCancelled",
    "RunExpired",
    "RunFailed",
    "ServerUnreachable",
    "StateUpdateRefused",
    "TaskNotFound",
    "TaskNotTaken",
    "ThreadBusy",
    "ThreadNotFound",
    "ToolCallsInvalid",
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


class ApprovalExpired(PerdureError):
    """Nobody has answered what a run asked within the time that approvals have. The run would ask the same again."""


class RunExpired(PerdureError):
    """A run did not end before its deadline. There is no more time for a retry."""


class BudgetExhausted(PerdureError):
    """A run, or its thread, has used what it may. A retry would have no more.

    Attributes:
        limit: "tokens", "money", "model_calls", "tool_calls", "wall_time" or "identical_calls".
        of: whose budget: "run" or "thread".
        used, allowed: numbers; US dollars, seconds.
        what: the tool that was called again and again.
        answers: what models had answered in the node call that was stopped.
    """

    def __init__(self, *, limit: str, of: str, used: float = 0, allowed: float = 0, what: str = "") -> None:
        self.limit = limit
        self.of = of
        self.used = used
        self.allowed = allowed
        self.what = what
        self.answers: list[list[str]] = []
        counts = f"{what} {allowed} times" if what else f"{used:,.10g} of {allowed:,.10g}"
        super().__init__(f"The budget of the {of} is used up: {limit}, {counts}.")

    @property
    def facts(self) -> dict[str, Any]:
        """As plain data."""
        facts = {"limit": self.limit, "of": self.of, "used": self.used, "allowed": self.allowed}
        return {**facts, "what": self.what} if self.what else facts


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


class ModelOutputError(PerdureError):
    """A model has answered, and the answer cannot be used.

    Attributes:
        output: what the model said, as text.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message, output)
        self.output = output

    def __str__(self) -> str:
        return str(self.args[0])


class OutputEmpty(ModelOutputError):
    """Neither text nor tool calls. Asked again, a model may say something."""

    retryable = True


class OutputCallInvalid(ModelOutputError):
    """Tool calls alone, with arguments that are not JSON. Asked again, a model may write them right."""

    retryable = True


class OutputIncomplete(ModelOutputError):
    """A stream ended without the end of its answer: the connection failed. A retry has another connection."""

    retryable = True


class OutputTruncated(ModelOutputError):
    """The answer was cut off at its token limit. A retry has the same limit."""


class OutputRefused(ModelOutputError):
    """The model, or its provider's filter, would not answer. A retry asks the same."""


class OutputMalformed(ModelOutputError):
    """The answer is not what was asked for, nor were its repairs. It was asked again as often as was declared."""


class ToolCallsInvalid(ModelOutputError):
    """The model went on calling tools that there are not, or with arguments that do not fit, however often it was told."""


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
        kind: the failure's class, such as `"rate_limited"` (docs/retries.md); "" where that is unknown.
        output: what the model said, where that could not be used.
    """

    def __init__(
        self,
        *,
        node: str,
        cause_type: str,
        cause: str,
        attempts: int,
        original: BaseException | None = None,
        kind: str = "",
        output: str = "",
    ) -> None:
        self.node = node
        self.cause_type = cause_type
        self.cause = cause
        self.attempts = attempts
        self.original = original
        self.kind = kind
        self.output = output
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
