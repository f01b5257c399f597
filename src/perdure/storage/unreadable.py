"""Stored payloads that this process can never read. Either side.

Temporal's SDK fetches stored payloads before any of our code runs. What its drivers raise holds the workflow task, which is
right for a disk that is away for a moment; for what no retry brings back, its own non-retryable failure ends the run and
says why. In a replay nothing can end the run, as its later history stands on the value: the task is held until the value is
back or another worker has it, and the reason is in the worker's log.
"""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)
from temporalio.exceptions import ApplicationError

from perdure.errors import PayloadError
from perdure.payloads.limits import PAYLOADS_VARIABLE

__all__ = ["PayloadUnreadable", "UnconfiguredDriver"]


class PayloadUnreadable(PayloadError, ApplicationError):
    """A stored payload is gone or damaged, or this process was not told where payloads are kept. A retry reads the same."""

    def __init__(self, message: str) -> None:
        ApplicationError.__init__(self, message, type=type(self).__name__, non_retryable=True)

    def __str__(self) -> str:
        return self.message


class UnconfiguredDriver(StorageDriver):
    """Stands for a kind of storage that other processes use and this one was not told of: who reads is told so."""

    def __init__(self, name: str, example: str) -> None:
        self._name = name
        self._example = example

    def name(self) -> str:
        return self._name

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        raise NotImplementedError("nothing is stored by a driver that is not configured")

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        raise PayloadUnreadable(
            f"a value is kept in external storage {self._name!r}, which this process was not told of: set "
            f"{PAYLOADS_VARIABLE} (such as {self._example}) as it is set for the other processes"
        )
