"""The names by which the table of failures knows them: statuses, providers' codes, gRPC statuses, classes.

Side: activities. Data only; `perdure.activities.failures` says in what order they count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = [
    "DECIDING_CODES",
    "GRPC_KINDS",
    "INSIDE",
    "READING",
    "READ_WITH",
    "RETRIED",
    "STATUS_KINDS",
    "STREAM_CODES",
    "TYPE_KINDS",
    "UNSENT",
]

RETRIED: Final = frozenset({
    "rate_limited", "overloaded", "timeout", "conflict", "server_error", "connection", "database",
    "mail_deferred", "malformed_output", "unknown",
})  # fmt: skip

INSIDE: Final = frozenset({"programming", "filesystem", "cancelled", "unknown"})
"""Kinds that say nothing about the outside world, so that a wrapper doesn't inherit them."""


def _index(rows: Mapping[str, str]) -> Mapping[str, str]:
    """`{kind: "name name …"}` turned round."""
    return {name: kind for kind, names in rows.items() for name in names.split()}


STATUS_KINDS: Final = _index({
    "rate_limited": "429",
    "overloaded": "503 529",
    "timeout": "408 504",
    "conflict": "409 425",
    "auth": "401 403 407",
    "quota": "402",
    "not_found": "404 410",
})  # fmt: skip

# These beat the HTTP status: OpenAI answers a used-up quota with 429, AWS answers a throttle with 400.
DECIDING_CODES: Final = _index({
    "quota": "insufficient_quota billing_hard_limit_reached billing_not_active billing_error",
    "rate_limited": """Throttling ThrottlingException ThrottledException RequestThrottled SlowDown
        RequestThrottledException TooManyRequestsException RequestLimitExceeded LimitExceededException
        ProvisionedThroughputExceededException""",
})  # fmt: skip

# A provider's error inside a stream comes after the status line, so only its code can tell.
STREAM_CODES: Final = _index({
    "overloaded": "overloaded_error",
    "rate_limited": "rate_limit_error rate_limit_exceeded",
    "server_error": "api_error server_error",
    "timeout": "timeout_error",
    "auth": "authentication_error permission_error",
    "not_found": "not_found_error",
    "bad_request": "invalid_request_error context_length_exceeded request_too_large",
})  # fmt: skip

GRPC_KINDS: Final = _index({
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
TYPE_KINDS: Final = _index({
    "timeout": """builtins.TimeoutError httpx.TimeoutException httpx2.TimeoutException
        requests.Timeout urllib3.TimeoutError aiohttp.ServerTimeoutError botocore.ConnectTimeoutError
        botocore.ReadTimeoutError *.APITimeoutError langchain_core.ModelTimeoutError
        langgraph.NodeTimeoutError""",
    "connection": """builtins.ConnectionError socket.gaierror socket.herror ssl.SSLError http.HTTPException
        urllib.URLError httpx.TransportError httpx2.TransportError requests.RequestException
        urllib3.HTTPError aiohttp.ClientConnectionError aiohttp.ClientPayloadError botocore.ConnectionError
        botocore.HTTPClientError google.TransportError *.APIConnectionError
        langchain_core.ModelConnectionError perdure.OutputIncomplete smtplib.SMTPServerDisconnected smtplib.SMTPConnectError""",
    "rate_limited": "langchain_core.ModelRateLimitError",
    "server_error": "langchain_core.ModelAPIError anthropic.RetryableError *.APIError",
    "database": "sqlite3.OperationalError psycopg.OperationalError psycopg2.OperationalError",
    "malformed_output": """json.JSONDecodeError requests.JSONDecodeError
        langchain_core.OutputParserException langchain.StructuredOutputError *.APIResponseValidationError
        perdure.OutputMalformed perdure.ToolCallsInvalid perdure.OutputEmpty perdure.OutputCallInvalid""",
    "auth": """langchain_core.ModelAuthenticationError langchain_core.ModelPermissionDeniedError
        openai.OpenAIError anthropic.CredentialsError botocore.NoCredentialsError
        google.DefaultCredentialsError""",
    "not_found": "langchain_core.ModelNotFoundError",
    "bad_request": """langchain_core.ModelInvalidRequestError langchain_core.ContextOverflowError
        botocore.ParamValidationError smtplib.SMTPNotSupportedError aiosmtplib.SMTPNotSupported""",
    "truncated_output": "openai.LengthFinishReasonError perdure.OutputTruncated",
    "refused_output": """openai.ContentFilterFinishReasonError langchain_openai.OpenAIRefusalError
        perdure.OutputRefused""",
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

# A client calls these a failed connection; in truth the request could not even be written.
UNSENT: Final = frozenset(
    f"{package}.{name}"
    for package in ("httpx", "httpx2")
    for name in ("LocalProtocolError", "UnsupportedProtocol", "InvalidURL")
)

# Modules, and functions in them, that read a model's answer: a mistake raised there is in the answer.
READING: Final = (
    "langchain_core.output_parsers",
    "langchain_core.language_models.chat_models.stream",
    "langchain_core.language_models.chat_models.astream",
    "langchain_core.language_models.chat_models.generate_from_stream",
    "langchain_core.language_models.chat_models.agenerate_from_stream",
    "langchain_anthropic.chat_models._format_output",
    "langchain_anthropic.output_parsers",
    "langchain_openai.chat_models.base._create_chat_result",
    "langchain_openai.chat_models.base._oai_structured_outputs_parser",
    "langchain.agents.structured_output",
    "openai.lib._parsing",
    "openai.lib.streaming",
)
# What those call to do it.
READ_WITH: Final = (
    "json",
    "pydantic",
    "langchain_core.load",
    "langchain_core.messages",
    "openai._compat",
    "openai._models",
)
