"""Telling a URL how a run ended, signed as Standard Webhooks says (https://www.standardwebhooks.com).

Side: activities. An attempt succeeds when the receiver answers with a 2xx; redirects are not followed. `410 Gone`, and a URL
that is not allowed (any more), end it; anything else is tried again by Temporal.

| header              | value                                                                     |
|---------------------|---------------------------------------------------------------------------|
| `webhook-id`        | the same for every attempt: `run_` and the run's id                       |
| `webhook-timestamp` | seconds since the epoch                                                   |
| `webhook-signature` | `v1,` and a signature, one for each secret; without a secret it is missing |
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import importlib
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from perdure.activities.heartbeat import Heartbeats
from perdure.contract import names
from perdure.contract.webhook import WebhookCall
from perdure.errors import ConfigError
from perdure.graph.webhook_policy import WebhookPolicy
from perdure.streams.wire import to_json

__all__ = ["SECRET_VARIABLE", "WebhookActivities", "secrets_of", "signed"]

SECRET_VARIABLE = "PERDURE_WEBHOOK_SECRET"
_PREFIX = "whsec_"
_GONE = 410


class WebhookActivities:
    """`secret` as for `secrets_of`; default: the environment variable `PERDURE_WEBHOOK_SECRET`."""

    def __init__(self, policy: WebhookPolicy | None = None, secret: str | None = None) -> None:
        """Raises ConfigError for a secret that is none, and headers whose variables are missing."""
        self._policy = policy or WebhookPolicy()
        self._headers = self._policy.filled_headers(os.environ)
        self._secrets = secrets_of(os.environ.get(SECRET_VARIABLE, "") if secret is None else secret)

    @activity.defn(name=names.SEND_WEBHOOK)
    async def send_webhook(self, call: WebhookCall) -> int:
        """The receiver's status."""
        if problem := self._policy.problem(call.url):
            raise _failed(call, problem, retry=False)
        body = to_json(self._payload(call))
        headers = {**self._headers, **signed(f"run_{call.run.id}", time.time(), body, self._secrets)}
        poster: Any = importlib.import_module("perdure.activities.webhook_post")
        try:
            async with Heartbeats().beating():
                status, text = await poster.post(
                    call.url, body, headers, problem=self._policy.address_problem
                )
        except poster.PostFailed as error:
            raise _failed(call, str(error), retry=error.retry) from error
        if status == _GONE:
            raise _failed(call, "its receiver is gone (410)", retry=False)
        if not 200 <= status < 300:
            raise _failed(call, f"it was answered with {status}: {text}")
        return status

    def _payload(self, call: WebhookCall) -> dict[str, Any]:
        run = call.run
        payload: dict[str, Any] = {
            "run_id": run.id,
            "thread_id": call.thread_id,
            "assistant_id": run.assistant_id,
            "created_at": _iso(run.created_at),
            "updated_at": _iso(run.updated_at),
            "metadata": run.metadata,
            "status": run.status,
            "kwargs": run.kwargs,
            "multitask_strategy": run.multitask_strategy,
            "run_started_at": None if call.started_at is None else _iso(call.started_at),
            "run_ended_at": _iso(run.updated_at),
            "webhook_sent_at": _iso(time.time()),
            "values": call.values,
            **({"error": run.error} if run.error else {}),
        }
        wanted = self._policy.allowed_fields
        return {key: value for key, value in payload.items() if not wanted or key in wanted}


def secrets_of(text: str) -> list[bytes]:
    """The keys of `whsec_...` texts, several with blanks between them: while a secret is changed, both sign.

    Raises:
        ConfigError: for one that is none.
    """
    secrets: list[bytes] = []
    for part in text.split():
        try:
            key = base64.b64decode(part.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not part.startswith(_PREFIX) or not 24 <= len(key) <= 64:
            raise ConfigError(
                f"{SECRET_VARIABLE} must be {_PREFIX!r} and the base64 form of 24 to 64 random bytes, such as "
                f'"{_PREFIX}$(openssl rand -base64 32)"'
            )
        secrets.append(key)
    return secrets


def signed(id: str, now: float, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    stamp = str(int(now))
    content = b".".join((id.encode(), stamp.encode(), body))
    signatures = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in secrets]
    headers = {"webhook-id": id, "webhook-timestamp": stamp}
    if signatures:
        headers["webhook-signature"] = " ".join(f"v1,{signature}" for signature in signatures)
    return headers


def _failed(call: WebhookCall, why: str, *, retry: bool = True) -> ApplicationError:
    return ApplicationError(
        f"the webhook of run {call.run.id!r}: {why}", type="WebhookFailed", non_retryable=not retry
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
