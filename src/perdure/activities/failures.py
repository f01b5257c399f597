"""What a raised exception means: may a retry help, after how long, and how to say it in one line.

Side: activities. Owns the one table from an exception to a `Verdict`. The first row that knows the
exception decides:

| the exception                                                      | kind             | retry |
|--------------------------------------------------------------------|------------------|-------|
| `CancelledError` (asyncio's and Temporal's)                        | cancelled        | no    |
| Temporal's `ApplicationError`: its author has decided              | application      | as it says |
| `ExceptionGroup`: the first leaf that may be retried, else the first | that leaf's    | any leaf |
| SMTP 4xx; recipients refused, at least one for now                 | mail_deferred    | yes   |
| SMTP 5xx; recipients refused, all for good                         | mail_refused     | no    |
| gRPC status (`grpc`, Temporal's `RPCError`)                        | as HTTP, by name | as HTTP |
| provider code: quota or billing used up (OpenAI `insufficient_quota`) | quota         | no    |
| provider code: throttled (AWS answers it with a 400)               | rate_limited     | yes   |
| HTTP 429                                                           | rate_limited     | yes   |
| HTTP 503, 529                                                      | overloaded       | yes   |
| HTTP 408, 504                                                      | timeout          | yes   |
| HTTP 409, 425                                                      | conflict         | yes   |
| HTTP 5xx                                                           | server_error     | yes   |
| HTTP 401, 403, 407                                                 | auth             | no    |
| HTTP 402                                                           | quota            | no    |
| HTTP 404, 410                                                      | not_found        | no    |
| HTTP 4xx, 3xx                                                      | bad_request      | no    |
| provider code in a stream that began with a 200                    | as HTTP, by code | as HTTP |
| timeouts: builtin, httpx, requests, aiohttp, provider SDKs, LangGraph | timeout       | yes   |
| `ConnectionError`, DNS, TLS, broken transfers                      | connection       | yes   |
| database busy or gone (`OperationalError`)                         | database         | yes   |
| a mistake raised where a client or a parser reads a model's answer  | malformed_output | yes, a few times |
| text of a model or service that doesn't parse as JSON or as the parser wants; an empty answer | malformed_output | yes, a few times |
| an answer that was cut off at `max_tokens`                         | truncated_output | no    |
| an answer that the model or the provider's filter refused          | refused_output   | no    |
| missing file, wrong permission                                     | filesystem       | no    |
| a "failed connection" for a request that could not be written: a header or URL that is none | programming | no |
| `TypeError`, `ValueError` (so pydantic's too), `LookupError`, …; Perdure's `PayloadError` | programming | no |
| anything else                                                      | unknown          | yes   |

Invariants:
- `Retry-After` is read for every verdict that retries, and capped at `MAX_RETRY_AFTER`.
- `x-should-retry: true|false`, which model providers send, beats the status.
- Only an exception whose type says nothing (row "unknown": `RuntimeError`, a custom class) takes the
  verdict of its explicit `__cause__`, and only when that is about the outside world. A `ValueError` raised
  from a 503, or a `RuntimeError` from a `KeyError`, is what its author made it.
- No client library is imported. Types are recognised by package and class name along the MRO, answers by
  their attributes (`status_code`, `response.status_code`, `status`, `code`).

Not guaranteed: that a retry ends. The retry policy bounds the attempts, this table doesn't count them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from temporalio.exceptions import ApplicationError, is_cancelled_exception

from perdure.activities.failure_facts import (
    Headers,
    headers_of,
    provider_codes,
    raised_in,
    retry_delay,
    smtp_codes,
    status_of,
    type_names,
)
from perdure.activities.failure_kinds import (
    DECIDING_CODES,
    GRPC_KINDS,
    INSIDE,
    READ_WITH,
    READING,
    RETRIED,
    STATUS_KINDS,
    STREAM_CODES,
    TYPE_KINDS,
    UNSENT,
)
from perdure.activities.failure_text import describe
from perdure.contract.verdict import Verdict

__all__ = ["MAX_RETRY_AFTER", "Verdict", "classify", "describe", "retry_after"]

MAX_RETRY_AFTER: Final = timedelta(minutes=5)
"""A server that asks for more is asked again after this long: it may have been wrong about itself."""

_MAX_WRAPPERS: Final = 5


def classify(error: BaseException, *, now: datetime | None = None) -> Verdict:
    """Look `error` up in the module's table.

    Args:
        error: What the node, model or tool raised. Never an interrupt or another of LangGraph's control
            flow exceptions: those are not failures.
        now: The aware time that a `Retry-After` date is compared with; the wall clock by default.
    """
    moment = now or datetime.now(UTC)
    verdict = _classify_one(error, moment)
    if verdict.kind == "connection" and _was_unsent(error):
        return _verdict("programming")
    if verdict.kind == "rate_limited" and verdict.after is None and error.__cause__ is not None:
        # LangChain's own class says what it is, what it was raised from how long to wait.
        return replace(verdict, after=_classify_one(error.__cause__, moment).after)
    wrapped, wrappers = verdict, 0
    while wrapped.kind == "unknown" and error.__cause__ is not None and wrappers < _MAX_WRAPPERS:
        error, wrappers = error.__cause__, wrappers + 1
        wrapped = _classify_one(error, moment)
    return verdict if wrapped.kind in INSIDE else wrapped


def retry_after(headers: Headers, *, now: datetime) -> timedelta | None:
    """How long the answer asks to wait, between zero and `MAX_RETRY_AFTER`.

    Reads `retry-after-ms` (milliseconds), then `Retry-After` (seconds, a fraction of them, or an HTTP date;
    a past one gives zero). What can't be read, or is negative, gives `None`.
    """
    values = {str(name).lower(): str(value).strip() for name, value in headers.items()}
    for name, seconds_per_unit in (("retry-after-ms", 0.001), ("retry-after", 1)):
        if re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", number := values.get(name, "")):
            return timedelta(seconds=min(float(number) * seconds_per_unit, MAX_RETRY_AFTER.total_seconds()))
    try:
        date = parsedate_to_datetime(values.get("retry-after", ""))
    except ValueError:
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return min(max(aware - now, timedelta()), MAX_RETRY_AFTER)


# --- the rows, in the table's order


def _classify_one(error: BaseException, now: datetime) -> Verdict:
    for row in (_cancelled, _declared, _group, _mail, _grpc, _answered, _unreadable, _typed):
        if (verdict := row(error, now)) is not None:
            return verdict
    return _verdict("unknown")


def _was_unsent(error: BaseException) -> bool:
    cause, depth = error.__cause__, 0
    while cause is not None and depth < _MAX_WRAPPERS:
        if not UNSENT.isdisjoint(type_names(cause)):
            return True
        cause, depth = cause.__cause__, depth + 1
    return False


def _verdict(kind: str, *, status: int | None = None) -> Verdict:
    return Verdict(retry=kind in RETRIED, after=None, kind=kind, status=status)


def _cancelled(error: BaseException, _now: datetime) -> Verdict | None:
    return _verdict("cancelled") if is_cancelled_exception(error) else None


def _declared(error: BaseException, _now: datetime) -> Verdict | None:
    if not isinstance(error, ApplicationError):
        return None
    after = None if error.non_retryable else error.next_retry_delay
    return Verdict(retry=not error.non_retryable, after=after, kind="application", status=None)


def _group(error: BaseException, now: datetime) -> Verdict | None:
    if not isinstance(error, BaseExceptionGroup):
        return None
    leaves = [classify(leaf, now=now) for leaf in error.exceptions]
    decisive = next((leaf for leaf in leaves if leaf.retry), leaves[0])
    return replace(decisive, after=max((leaf.after for leaf in leaves if leaf.after), default=None))


def _mail(error: BaseException, _now: datetime) -> Verdict | None:
    if not any(name.startswith(("smtplib.", "aiosmtplib.")) for name in type_names(error)):
        return None
    code = min((code for code in smtp_codes(error) if 400 <= code < 600), default=None)
    if code is None:
        return None
    return _verdict("mail_deferred" if code < 500 else "mail_refused", status=code)


def _grpc(error: BaseException, _now: datetime) -> Verdict | None:
    names = type_names(error)
    if "grpc.RpcError" in names and callable(code := getattr(error, "code", None)):
        status = code()
    elif "temporalio.RPCError" in names:
        status = getattr(error, "status", None)
    else:
        return None
    return _verdict(GRPC_KINDS.get(getattr(status, "name", ""), "unknown"))


def _answered(error: BaseException, now: datetime) -> Verdict | None:
    status, codes, headers = status_of(error), provider_codes(error), headers_of(error)
    kind = next((DECIDING_CODES[code] for code in codes if code in DECIDING_CODES), None)
    if kind is None and status is not None and status >= 300:
        fallback = "server_error" if status >= 500 else "bad_request"
        kind = STATUS_KINDS.get(str(status), fallback)
    if kind is None:
        kind = next((STREAM_CODES[code] for code in codes if code in STREAM_CODES), None)
    if kind is None:
        return None
    # Model providers say it outright in this header, and know better than the status.
    asked = {str(name).lower(): str(value).lower() for name, value in headers.items()}.get("x-should-retry")
    retry = asked == "true" or (asked != "false" and kind in RETRIED)
    after = (retry_after(headers, now=now) or _asked_delay(error)) if retry else None
    return Verdict(retry=retry, after=after, kind=kind, status=status)


def _asked_delay(error: BaseException) -> timedelta | None:
    """What Google asks for: it says it in the body, as "36s"."""
    number = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)s", retry_delay(error))
    return min(timedelta(seconds=float(number[1])), MAX_RETRY_AFTER) if number else None


def _unreadable(error: BaseException, _now: datetime) -> Verdict | None:
    kinds = (ValueError, TypeError, AttributeError, LookupError)
    if isinstance(error, kinds) and raised_in(error, READING, through=READ_WITH):
        return _verdict("malformed_output")
    return None


def _typed(error: BaseException, _now: datetime) -> Verdict | None:
    kinds = (TYPE_KINDS.get(name) for name in type_names(error))
    return next((_verdict(kind) for kind in kinds if kind is not None), None)
