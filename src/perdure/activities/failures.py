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
| text of a model or service that doesn't parse as JSON or as the parser wants | malformed_output | yes |
| missing file, wrong permission                                     | filesystem       | no    |
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

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

from temporalio.exceptions import ApplicationError, is_cancelled_exception

MAX_RETRY_AFTER: Final = timedelta(minutes=5)
"""A server that asks for more is asked again after this long: it may have been wrong about itself."""

_MAX_DESCRIPTION_CHARS: Final = 500
_MAX_WRAPPERS: Final = 5

_RETRIED: Final = frozenset({
    "rate_limited", "overloaded", "timeout", "conflict", "server_error", "connection", "database",
    "mail_deferred", "malformed_output", "unknown",
})  # fmt: skip

_INSIDE: Final = frozenset({"programming", "filesystem", "cancelled", "unknown"})
"""Kinds that say nothing about the outside world, so that a wrapper doesn't inherit them."""


def _index(rows: Mapping[str, str]) -> Mapping[str, str]:
    """`{kind: "name name …"}` turned round."""
    return {name: kind for kind, names in rows.items() for name in names.split()}


_STATUS_KINDS: Final = _index({
    "rate_limited": "429",
    "overloaded": "503 529",
    "timeout": "408 504",
    "conflict": "409 425",
    "auth": "401 403 407",
    "quota": "402",
    "not_found": "404 410",
})  # fmt: skip

# These beat the HTTP status: OpenAI answers a used-up quota with 429, AWS answers a throttle with 400.
_DECIDING_CODES: Final = _index({
    "quota": "insufficient_quota billing_hard_limit_reached billing_not_active billing_error",
    "rate_limited": """Throttling ThrottlingException ThrottledException RequestThrottled SlowDown
        RequestThrottledException TooManyRequestsException RequestLimitExceeded LimitExceededException
        ProvisionedThroughputExceededException""",
})  # fmt: skip

# A provider's error inside a stream comes after the status line, so only its code can tell.
_STREAM_CODES: Final = _index({
    "overloaded": "overloaded_error",
    "rate_limited": "rate_limit_error rate_limit_exceeded",
    "server_error": "api_error server_error",
    "timeout": "timeout_error",
    "auth": "authentication_error permission_error",
    "not_found": "not_found_error",
    "bad_request": "invalid_request_error context_length_exceeded request_too_large",
})  # fmt: skip

_GRPC_KINDS: Final = _index({
    "overloaded": "UNAVAILABLE",
    "timeout": "DEADLINE_EXCEEDED",
    "rate_limited": "RESOURCE_EXHAUSTED",
    "conflict": "ABORTED",
    "server_error": "INTERNAL",
    "auth": "UNAUTHENTICATED PERMISSION_DENIED",
    "not_found": "NOT_FOUND",
    "bad_request": "INVALID_ARGUMENT FAILED_PRECONDITION OUT_OF_RANGE ALREADY_EXISTS UNIMPLEMENTED",
})  # fmt: skip

# kind → "package.Class", where package is the top-level one; "*" stands for any package: provider SDKs
# that come from the same generator share these names. The nearest class in the MRO decides.
_TYPE_KINDS: Final = _index({
    "timeout": """builtins.TimeoutError httpx.TimeoutException httpx2.TimeoutException
        requests.Timeout urllib3.TimeoutError aiohttp.ServerTimeoutError botocore.ConnectTimeoutError
        botocore.ReadTimeoutError *.APITimeoutError langchain_core.ModelTimeoutError
        langgraph.NodeTimeoutError""",
    "connection": """builtins.ConnectionError socket.gaierror socket.herror ssl.SSLError http.HTTPException
        urllib.URLError httpx.TransportError httpx2.TransportError requests.RequestException
        urllib3.HTTPError aiohttp.ClientConnectionError aiohttp.ClientPayloadError botocore.ConnectionError
        botocore.HTTPClientError google.TransportError *.APIConnectionError
        langchain_core.ModelConnectionError smtplib.SMTPServerDisconnected smtplib.SMTPConnectError""",
    "rate_limited": "langchain_core.ModelRateLimitError",
    "server_error": "langchain_core.ModelAPIError anthropic.RetryableError *.APIError",
    "database": "sqlite3.OperationalError psycopg.OperationalError psycopg2.OperationalError",
    "malformed_output": """json.JSONDecodeError requests.JSONDecodeError
        langchain_core.OutputParserException langchain.StructuredOutputError *.APIResponseValidationError""",
    "auth": """langchain_core.ModelAuthenticationError langchain_core.ModelPermissionDeniedError
        openai.OpenAIError anthropic.CredentialsError botocore.NoCredentialsError
        google.DefaultCredentialsError""",
    "not_found": "langchain_core.ModelNotFoundError",
    "bad_request": """langchain_core.ModelInvalidRequestError langchain_core.ContextOverflowError
        openai.LengthFinishReasonError openai.ContentFilterFinishReasonError botocore.ParamValidationError
        smtplib.SMTPNotSupportedError aiosmtplib.SMTPNotSupported""",
    "filesystem": """builtins.FileNotFoundError builtins.FileExistsError builtins.PermissionError
        builtins.IsADirectoryError builtins.NotADirectoryError""",
    "programming": """builtins.TypeError builtins.AttributeError builtins.NameError builtins.ImportError
        builtins.SyntaxError builtins.NotImplementedError builtins.AssertionError builtins.RecursionError
        builtins.ValueError builtins.LookupError builtins.ArithmeticError
        sqlite3.DatabaseError sqlite3.InterfaceError http.InvalidURL httpx.InvalidURL httpx2.InvalidURL
        httpx.UnsupportedProtocol httpx2.UnsupportedProtocol httpx.LocalProtocolError
        httpx2.LocalProtocolError httpx.StreamError httpx2.StreamError
        requests.MissingSchema requests.InvalidSchema requests.InvalidURL requests.InvalidHeader
        requests.URLRequired requests.InvalidJSONError requests.StreamConsumedError
        requests.UnrewindableBodyError aiohttp.InvalidURL langgraph.InvalidUpdateError
        langgraph.EmptyInputError perdure.PayloadError""",
    # Their own bases would say "connection" or "programming".
    "unknown": "requests.TooManyRedirects requests.RetryError",
})  # fmt: skip


class Headers(Protocol):
    """What `retry_after` needs of response headers: any mapping has it, whatever its keys' case."""

    def items(self) -> Iterable[tuple[Any, Any]]: ...


@dataclass(frozen=True)
class Verdict:
    """What a failure means for the next attempt."""

    retry: bool
    """Whether another attempt may succeed."""
    after: timedelta | None
    """The earliest time for it that the other side asked for; `None`: the retry policy's own interval."""
    kind: str
    """The row of the module's table."""
    status: int | None
    """The numeric answer (HTTP or SMTP), where there was one."""


def classify(error: BaseException, *, now: datetime | None = None) -> Verdict:
    """Look `error` up in the module's table.

    Args:
        error: What the node, model or tool raised. Never an interrupt or another of LangGraph's control
            flow exceptions: those are not failures.
        now: The aware time that a `Retry-After` date is compared with; the wall clock by default.
    """
    moment = now or datetime.now(UTC)
    verdict = _classify_one(error, moment)
    wrapped, wrappers = verdict, 0
    while wrapped.kind == "unknown" and error.__cause__ is not None and wrappers < _MAX_WRAPPERS:
        error, wrappers = error.__cause__, wrappers + 1
        wrapped = _classify_one(error, moment)
    return verdict if wrapped.kind in _INSIDE else wrapped


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


def describe(error: BaseException) -> str:
    """One line for logs and for Temporal's UI, at most 500 characters: `HTTPStatusError: 503 Service
    Unavailable from http://127.0.0.1/v1`.

    URLs lose their query and user info; what looks like a key, a token or a password is replaced. A secret
    that looks like plain text can't be recognised.
    """
    text = _message(error)
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= _MAX_DESCRIPTION_CHARS else line[: _MAX_DESCRIPTION_CHARS - 1] + "…"


# --- the rows, in the table's order


def _classify_one(error: BaseException, now: datetime) -> Verdict:
    for row in (_cancelled, _declared, _group, _mail, _grpc, _answered, _typed):
        if (verdict := row(error, now)) is not None:
            return verdict
    return _verdict("unknown")


def _verdict(kind: str, *, status: int | None = None) -> Verdict:
    return Verdict(retry=kind in _RETRIED, after=None, kind=kind, status=status)


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
    if not any(name.startswith(("smtplib.", "aiosmtplib.")) for name in _type_names(error)):
        return None
    code = min((code for code in _smtp_codes(error) if 400 <= code < 600), default=None)
    if code is None:
        return None
    return _verdict("mail_deferred" if code < 500 else "mail_refused", status=code)


def _grpc(error: BaseException, _now: datetime) -> Verdict | None:
    names = _type_names(error)
    if "grpc.RpcError" in names and callable(code := getattr(error, "code", None)):
        status = code()
    elif "temporalio.RPCError" in names:
        status = getattr(error, "status", None)
    else:
        return None
    return _verdict(_GRPC_KINDS.get(getattr(status, "name", ""), "unknown"))


def _answered(error: BaseException, now: datetime) -> Verdict | None:
    status, codes, headers = _status(error), _provider_codes(error), _headers(error)
    kind = next((_DECIDING_CODES[code] for code in codes if code in _DECIDING_CODES), None)
    if kind is None and status is not None and status >= 300:
        fallback = "server_error" if status >= 500 else "bad_request"
        kind = _STATUS_KINDS.get(str(status), fallback)
    if kind is None:
        kind = next((_STREAM_CODES[code] for code in codes if code in _STREAM_CODES), None)
    if kind is None:
        return None
    # Model providers say it outright in this header, and know better than the status.
    asked = {str(name).lower(): str(value).lower() for name, value in headers.items()}.get("x-should-retry")
    retry = asked == "true" or (asked != "false" and kind in _RETRIED)
    after = retry_after(headers, now=now) if retry else None
    return Verdict(retry=retry, after=after, kind=kind, status=status)


def _typed(error: BaseException, _now: datetime) -> Verdict | None:
    kinds = (_TYPE_KINDS.get(name) for name in _type_names(error))
    return next((_verdict(kind) for kind in kinds if kind is not None), None)


# --- what an exception carries


def _type_names(error: BaseException) -> list[str]:
    """`package.Class` along the MRO, each with its `*.Class` form."""
    return [
        f"{package}.{cls.__name__}"
        for cls in type(error).__mro__
        for package in (cls.__module__.partition(".")[0], "*")
    ]


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    candidates = (
        getattr(error, "status_code", None),
        getattr(response, "status_code", None),
        getattr(response, "status", None),
        _entry(_entry(response, "ResponseMetadata"), "HTTPStatusCode"),
        getattr(error, "status", None),
        getattr(error, "code", None),
    )
    return next((int(code) for code in candidates if isinstance(code, int) and 100 <= code < 600), None)


def _headers(error: BaseException) -> Headers:
    response = getattr(error, "response", None)
    candidates = (
        getattr(response, "headers", None),
        getattr(error, "headers", None),
        _entry(_entry(response, "ResponseMetadata"), "HTTPHeaders"),
    )
    found = next((headers for headers in candidates if hasattr(headers, "items")), None)
    return cast("Headers", {} if found is None else found)


def _provider_codes(error: BaseException) -> list[str]:
    body = getattr(error, "body", None)
    inner = _entry(body, "error")
    candidates = (
        getattr(error, "code", None),
        getattr(error, "type", None),
        *(_entry(part, key) for part in (inner, body) for key in ("code", "type")),
        _entry(_entry(getattr(error, "response", None), "Error"), "Code"),
    )
    return [code for code in candidates if isinstance(code, str)]


def _smtp_codes(error: BaseException) -> list[int]:
    recipients = getattr(error, "recipients", None)
    if isinstance(recipients, Mapping):  # smtplib: address → (code, text)
        codes = [answer[0] for answer in cast("Mapping[str, tuple[int, bytes]]", recipients).values()]
    elif isinstance(recipients, list):  # aiosmtplib: one exception for each
        codes = [getattr(refusal, "code", None) for refusal in cast("list[object]", recipients)]
    else:
        codes = [getattr(error, "smtp_code", None), getattr(error, "code", None)]
    return [code for code in codes if isinstance(code, int)]


def _entry(container: object, key: str) -> Any:
    return cast("Mapping[str, Any]", container).get(key) if isinstance(container, Mapping) else None


# --- one line of text


def _message(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(leaf) for leaf in error.exceptions)
    status = _status(error)
    # Only where there is a status: httpx raises on reading `request` of an error that has none.
    url = None if status is None else getattr(getattr(error, "request", None), "url", None)
    if status is None or url is None:
        return _redact(str(error))
    body = getattr(error, "body", None)
    said = _entry(_entry(body, "error"), "message") or _entry(body, "message")
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    return _redact(f"{status} {phrase} from {url}" + (f": {said}" if said else ""))


_URL: Final = re.compile(
    r"""\b([a-z][\w+.-]{0,20}://)(?:[^\s/?'"<>]*@)?([^\s?#'"<>]*)(?:[?#][^\s'"<>]*)?""", re.IGNORECASE
)
_KEY: Final = re.compile(
    r"\bsk[-_][\w*.-]{6,}|\bAKIA[0-9A-Z]{12,}|\bgh[pousr]_\w{16,}|\bAIza[\w-]{20,}|\bxox[a-z]-[\w-]{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.?[\w-]*|(?<=bearer )[^\s'\",;]+|(?<=Bearer )[^\s'\",;]+"
)
_NAMED_SECRET: Final = re.compile(
    r"""((?:api[\s_-]?key|secret|password|passwd|token|authorization)["']?\s*[:=]\s*)"""
    r"""(?:basic\s+|bearer\s+)?("[^"]*"|'[^']*'|[^\s,;)}\]]+)""",
    re.IGNORECASE,
)


def _redact(text: str) -> str:
    # A megabyte of answer in a message costs nothing here: only the start can be shown.
    line = " ".join(text[: _MAX_DESCRIPTION_CHARS * 8].split())
    line = _NAMED_SECRET.sub(r"\1[redacted]", _URL.sub(r"\1\2", line))
    return _KEY.sub("[redacted]", line)
