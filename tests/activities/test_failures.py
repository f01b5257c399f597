"""`perdure.activities.failures`: the table from exception to verdict, against real clients and real answers."""

import asyncio
import json
import smtplib
import socket
import sqlite3
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiosmtplib
import anthropic
import httpx
import openai
import pydantic
import pytest
import requests
from aiosmtpd.controller import Controller
from hypothesis import given
from hypothesis import strategies as st
from langchain_anthropic import ChatAnthropic
from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import JsonOutputParser
from langgraph.errors import GraphRecursionError, NodeTimeoutError
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.service import RPCError, RPCStatusCode

from perdure.activities.failures import MAX_RETRY_AFTER, Verdict, classify, describe, retry_after

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class AnsweringServer(ThreadingHTTPServer):
    """Gives every request the answer that the test set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self.body = b"{}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, status: int, headers: Mapping[str, str] | None = None, body: Any = None) -> None:
        self.status, self.headers = status, headers or {}
        self.body = body if isinstance(body, bytes) else json.dumps(body or {}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: AnsweringServer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(self.server.status)
        for name, value in {"Content-Type": "application/json", **self.server.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_GET = do_POST

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def running_server() -> Iterator[AnsweringServer]:
    with AnsweringServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(running_server: AnsweringServer) -> AnsweringServer:
    running_server.answer(200)
    return running_server


@pytest.fixture
def silent_url() -> Iterator[str]:
    """Accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def refused_url() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def raised_by(action: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the class is what the caller looks at
        action()
    return caught.value


def http_error(server: AnsweringServer) -> BaseException:
    return raised_by(lambda: httpx.get(f"{server.url}/v1").raise_for_status())


def ask_anthropic(url: str, **options: Any) -> object:
    with anthropic.Anthropic(base_url=url, api_key="test", max_retries=0, **options) as client:
        return client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "hi"}])


def ask_openai(url: str, **options: Any) -> object:
    with openai.OpenAI(base_url=url, api_key="test", max_retries=0, **options) as client:
        return client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])


def named(module: str, name: str, *bases: type[BaseException], **attributes: object) -> type[BaseException]:
    """A class as a library that is not installed here would define it."""
    return type(name, bases or (Exception,), {"__module__": module, **attributes})


# --- HTTP status


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, "timeout"),
        (409, "conflict"),
        (425, "conflict"),
        (429, "rate_limited"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "overloaded"),
        (504, "timeout"),
        (529, "overloaded"),
    ],
)
def test_a_status_that_may_pass_is_retried(server: AnsweringServer, status: int, kind: str) -> None:
    server.answer(status)
    assert classify(http_error(server)) == Verdict(retry=True, after=None, kind=kind, status=status)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, "bad_request"),
        (400, "bad_request"),
        (401, "auth"),
        (402, "quota"),
        (403, "auth"),
        (404, "not_found"),
        (405, "bad_request"),
        (410, "not_found"),
        (413, "bad_request"),
        (422, "bad_request"),
    ],
)
def test_a_status_that_stays_is_not_retried(server: AnsweringServer, status: int, kind: str) -> None:
    server.answer(status, {"Retry-After": "3"})
    assert classify(http_error(server)) == Verdict(retry=False, after=None, kind=kind, status=status)


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_every_client_of_the_same_answer_gets_the_same_verdict(server: AnsweringServer, status: int) -> None:
    server.answer(status, {"Retry-After": "7"})
    errors = [
        http_error(server),
        raised_by(lambda: requests.get(server.url, timeout=5).raise_for_status()),
        raised_by(lambda: urllib.request.urlopen(server.url, timeout=5)),
        raised_by(lambda: ask_anthropic(server.url)),
        raised_by(lambda: ask_openai(server.url)),
        raised_by(
            lambda: ChatAnthropic(model="m", api_key="test", base_url=server.url, max_retries=0).invoke("hi")
        ),
    ]
    assert len({type(error) for error in errors}) == len(errors)
    assert len({classify(error) for error in errors}) == 1
    assert classify(errors[0]).after == (None if status == 401 else timedelta(seconds=7))


def test_a_used_up_openai_quota_is_not_retried_although_it_is_a_429(server: AnsweringServer) -> None:
    server.answer(
        429, body={"error": {"message": "quota", "type": "insufficient_quota", "code": "insufficient_quota"}}
    )
    assert classify(raised_by(lambda: ask_openai(server.url))) == Verdict(
        retry=False, after=None, kind="quota", status=429
    )


@pytest.mark.parametrize(("header", "status", "retry"), [("false", 429, False), ("true", 400, True)])
def test_the_providers_own_word_on_retries_beats_the_status(
    server: AnsweringServer, header: str, status: int, retry: bool
) -> None:
    server.answer(status, {"x-should-retry": header})
    assert classify(raised_by(lambda: ask_anthropic(server.url))).retry is retry


def test_an_overload_in_the_middle_of_a_stream_is_retried_although_the_stream_began_with_200(
    server: AnsweringServer,
) -> None:
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    server.answer(
        200,
        {"Content-Type": "text/event-stream"},
        b"event: error\ndata: " + json.dumps(event).encode() + b"\n\n",
    )

    def consume() -> None:
        with (
            anthropic.Anthropic(base_url=server.url, api_key="test", max_retries=0) as client,
            client.messages.create(
                model="m", max_tokens=1, messages=[{"role": "user", "content": "hi"}], stream=True
            ) as stream,
        ):
            list(stream)

    verdict = classify(raised_by(consume))
    assert (verdict.retry, verdict.kind) == (True, "overloaded")


# --- Retry-After


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "2"}, timedelta(seconds=2)),
        ({"retry-after": "0.25"}, timedelta(seconds=0.25)),
        ({"Retry-After": " 1.5 "}, timedelta(seconds=1.5)),
        ({"Retry-After": "0"}, timedelta()),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, timedelta(seconds=1.5)),
        ({"retry-after-ms": "soon", "Retry-After": "9"}, timedelta(seconds=9)),
        ({"Retry-After": format_datetime(NOW + timedelta(seconds=40), usegmt=True)}, timedelta(seconds=40)),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:30 -0000"}, timedelta(seconds=30)),
        ({"Retry-After": format_datetime(NOW - timedelta(days=1), usegmt=True)}, timedelta()),
        ({"Retry-After": format_datetime(NOW + timedelta(days=1), usegmt=True)}, MAX_RETRY_AFTER),
        ({"Retry-After": "86400"}, MAX_RETRY_AFTER),
        ({"Retry-After": "9" * 400}, MAX_RETRY_AFTER),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "Sun, 99 Mar 2026 12:00:30 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], wait: timedelta | None) -> None:
    assert retry_after(headers, now=NOW) == wait
    assert retry_after(httpx.Headers(headers), now=NOW) == wait


@given(st.one_of(st.text(), st.datetimes().map(str), st.floats().map(str), st.integers().map(str)))
def test_retry_after_survives_whatever_a_server_sends(value: str) -> None:
    wait = retry_after({"Retry-After": value}, now=NOW)
    assert wait is None or timedelta() <= wait <= MAX_RETRY_AFTER


def test_an_http_date_in_an_answer_is_compared_with_the_given_time(server: AnsweringServer) -> None:
    server.answer(503, {"Retry-After": format_datetime(NOW + timedelta(seconds=40), usegmt=True)})
    assert classify(http_error(server), now=NOW).after == timedelta(seconds=40)


# --- no answer


def test_a_read_timeout_is_retried(silent_url: str) -> None:
    for ask in (
        lambda: httpx.get(silent_url, timeout=0.05),
        lambda: requests.get(silent_url, timeout=0.05),
        lambda: ask_anthropic(silent_url, timeout=0.05),
        lambda: ask_openai(silent_url, timeout=0.05),
        lambda: urllib.request.urlopen(silent_url, timeout=0.05),
    ):
        assert classify(raised_by(ask)) == Verdict(retry=True, after=None, kind="timeout", status=None)


def test_a_refused_connection_is_retried(refused_url: str) -> None:
    for ask in (
        lambda: httpx.get(refused_url),
        lambda: requests.get(refused_url, timeout=5),
        lambda: ask_anthropic(refused_url),
        lambda: ask_openai(refused_url),
        lambda: urllib.request.urlopen(refused_url, timeout=5),
        lambda: smtplib.SMTP("127.0.0.1", int(refused_url.rpartition(":")[2])),
    ):
        assert classify(raised_by(ask)) == Verdict(retry=True, after=None, kind="connection", status=None)


async def test_asyncio_timeouts_are_retried_and_cancellation_is_not() -> None:
    with pytest.raises(asyncio.TimeoutError) as caught:
        await asyncio.wait_for(asyncio.Event().wait(), 0)
    assert classify(caught.value).kind == "timeout"
    for cancelled in (asyncio.CancelledError(), CancelledError("cancelled")):
        assert classify(cancelled) == Verdict(retry=False, after=None, kind="cancelled", status=None)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        BrokenPipeError(),
        socket.gaierror(-2, "Name or service not known"),
        ssl.SSLError("record layer failure"),
        httpx.RemoteProtocolError("peer closed connection"),
        requests.exceptions.ChunkedEncodingError(),
    ],
)
def test_network_trouble_is_retried(error: BaseException) -> None:
    assert classify(error) == Verdict(retry=True, after=None, kind="connection", status=None)


# --- mail


class _Refusing:
    """A mail server that says the same to every recipient."""

    def __init__(self, answer: str) -> None:
        self._answer = answer

    async def handle_RCPT(self, *_: object) -> str:
        return self._answer


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("451 later", Verdict(retry=True, after=None, kind="mail_deferred", status=451)),
        ("550 no such user", Verdict(retry=False, after=None, kind="mail_refused", status=550)),
    ],
)
async def test_mail_is_retried_when_deferred_and_not_when_refused(answer: str, verdict: Verdict) -> None:
    controller = Controller(_Refusing(answer), hostname="127.0.0.1", port=0, ready_timeout=10)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        controller.port = listener.getsockname()[1]
    controller.start()
    try:
        with smtplib.SMTP("127.0.0.1", controller.port) as client:
            error = raised_by(lambda: client.sendmail("a@example.org", ["b@example.org"], "hello"))
        assert isinstance(error, smtplib.SMTPRecipientsRefused)
        assert classify(error) == verdict
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as caught:
            await aiosmtplib.send(
                "hello",
                sender="a@example.org",
                recipients=["b@example.org"],
                hostname="127.0.0.1",
                port=controller.port,
            )
        assert classify(caught.value) == verdict
    finally:
        controller.stop()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (smtplib.SMTPDataError(554, b"rejected"), "mail_refused"),
        (smtplib.SMTPAuthenticationError(535, b"bad credentials"), "mail_refused"),
        (smtplib.SMTPAuthenticationError(454, b"try later"), "mail_deferred"),
        (smtplib.SMTPRecipientsRefused({"a": (550, b""), "b": (450, b"")}), "mail_deferred"),
        (smtplib.SMTPServerDisconnected("gone"), "connection"),
        (smtplib.SMTPConnectError(421, "busy"), "mail_deferred"),
        (smtplib.SMTPConnectError(-1, "garbage"), "connection"),
        (smtplib.SMTPNotSupportedError("no UTF8"), "bad_request"),
        (aiosmtplib.SMTPResponseException(452, "full"), "mail_deferred"),
        (aiosmtplib.SMTPServerDisconnected("gone"), "connection"),
        (aiosmtplib.SMTPConnectTimeoutError("slow"), "timeout"),
    ],
)
def test_mail_errors_follow_the_servers_code(error: BaseException, kind: str) -> None:
    verdict = classify(error)
    assert verdict.kind == kind
    assert verdict.retry is (kind not in {"mail_refused", "bad_request"})


# --- local errors


def test_a_locked_database_is_retried_and_a_wrong_statement_value_is_not(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(path, timeout=0)) as other:
        one.execute("create table entry (key text unique)")
        one.execute("insert into entry values ('a')")
        locked = raised_by(lambda: other.execute("insert into entry values ('b')"))
        assert classify(locked) == Verdict(retry=True, after=None, kind="database", status=None)
        duplicate = raised_by(lambda: one.execute("insert into entry values ('a')"))
        assert classify(duplicate) == Verdict(retry=False, after=None, kind="programming", status=None)


def _validation_error() -> BaseException:
    return raised_by(lambda: pydantic.TypeAdapter(int).validate_python("many"))


@pytest.mark.parametrize(
    "error",
    [
        TypeError(), AttributeError(), NameError(), UnboundLocalError(), ImportError(), ModuleNotFoundError(),
        SyntaxError(), NotImplementedError(), AssertionError(), RecursionError(), GraphRecursionError(),
        ValueError(), KeyError(), IndexError(), ZeroDivisionError(), UnicodeDecodeError("utf-8", b"", 0, 1, ""),
        _validation_error(), requests.exceptions.InvalidURL(), httpx.UnsupportedProtocol("no scheme"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_programming_errors_are_not_retried(error: BaseException) -> None:
    assert classify(error) == Verdict(retry=False, after=None, kind="programming", status=None)


@pytest.mark.parametrize(
    "error", [FileNotFoundError(), PermissionError(), IsADirectoryError(), NotADirectoryError()]
)
def test_wrong_paths_are_not_retried(error: BaseException) -> None:
    assert classify(error) == Verdict(retry=False, after=None, kind="filesystem", status=None)


class OutOfStock(Exception):
    pass


class WrongSku(ValueError):
    pass


@pytest.mark.parametrize(
    "error", [RuntimeError(), Exception(), OSError("disk"), OutOfStock(), StopIteration()]
)
def test_what_the_table_does_not_know_is_retried(error: BaseException) -> None:
    assert classify(error) == Verdict(retry=True, after=None, kind="unknown", status=None)


def test_a_custom_exception_is_what_its_base_is() -> None:
    assert classify(WrongSku()).kind == "programming"


def test_output_that_does_not_parse_is_asked_for_again() -> None:
    unparsed = raised_by(lambda: JsonOutputParser().parse("Certainly! Here is your JSON:"))
    assert isinstance(unparsed, OutputParserException)
    for error in (unparsed, raised_by(lambda: json.loads("{"))):
        assert classify(error) == Verdict(retry=True, after=None, kind="malformed_output", status=None)


def test_missing_credentials_are_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert classify(raised_by(openai.OpenAI)).retry is False


def test_a_node_timeout_of_langgraph_is_retried() -> None:
    assert classify(NodeTimeoutError("search", 2.0, kind="run", run_timeout=1.0)).kind == "timeout"


def test_an_application_error_says_itself_what_to_do() -> None:
    final = ApplicationError("closed", non_retryable=True, next_retry_delay=timedelta(seconds=9))
    assert classify(final) == Verdict(retry=False, after=None, kind="application", status=None)
    later = ApplicationError("busy", next_retry_delay=timedelta(hours=1))
    assert classify(later) == Verdict(retry=True, after=timedelta(hours=1), kind="application", status=None)


# --- wrappers and groups


def _raised_from(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def test_a_wrapper_that_says_nothing_takes_its_causes_verdict(server: AnsweringServer) -> None:
    server.answer(401)
    unauthorised = http_error(server)
    twice = _raised_from(OutOfStock(), _raised_from(RuntimeError("lookup failed"), unauthorised))
    assert classify(twice) == classify(unauthorised)


def test_a_wrapper_keeps_its_own_meaning_where_it_or_its_cause_is_a_programming_error(
    server: AnsweringServer,
) -> None:
    server.answer(503)
    assert classify(_raised_from(ValueError(), http_error(server))).kind == "programming"
    assert classify(_raised_from(RuntimeError(), KeyError("sku"))).kind == "unknown"
    assert classify(_raised_from(RuntimeError(), asyncio.CancelledError())).kind == "unknown"


def test_a_cause_that_leads_back_to_itself_ends() -> None:
    one, other = RuntimeError(), RuntimeError()
    one.__cause__, other.__cause__ = other, one
    assert classify(one).kind == "unknown"


def test_a_group_is_retried_when_any_of_its_leaves_may_be(server: AnsweringServer) -> None:
    server.answer(429, {"Retry-After": "4"})
    limited = http_error(server)
    assert classify(BaseExceptionGroup("all", [TypeError(), KeyError()])).retry is False
    nested = BaseExceptionGroup("some", [TypeError(), BaseExceptionGroup("inner", [limited, RuntimeError()])])
    assert classify(nested) == Verdict(
        retry=True, after=timedelta(seconds=4), kind="rate_limited", status=429
    )


# --- libraries that are not installed here


class _GrpcCode(Enum):
    UNAVAILABLE = 14
    INVALID_ARGUMENT = 3


def test_grpc_statuses_are_read_by_name() -> None:
    rpc_error = named("grpc", "RpcError")
    call = named("grpc.aio._call", "AioRpcError", rpc_error, code=lambda self: self.args[0])
    assert classify(call(_GrpcCode.UNAVAILABLE)).kind == "overloaded"
    assert classify(call(_GrpcCode.INVALID_ARGUMENT)).retry is False
    assert classify(rpc_error()).kind == "unknown"
    assert classify(RPCError("down", RPCStatusCode.UNAVAILABLE, b"")).retry is True
    assert classify(RPCError("no", RPCStatusCode.NOT_FOUND, b"")).retry is False


def test_botocore_answers_are_read_from_their_dict() -> None:
    client_error = named("botocore.exceptions", "ClientError")

    def answered(status: int, code: str, **headers: str) -> BaseException:
        error = client_error(code)
        error.response = {  # type: ignore[attr-defined]
            "Error": {"Code": code},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
        }
        return error

    throttled = classify(answered(400, "ThrottlingException", **{"retry-after": "3"}))
    assert throttled == Verdict(retry=True, after=timedelta(seconds=3), kind="rate_limited", status=400)
    assert classify(answered(400, "ValidationException")).retry is False
    assert classify(answered(403, "AccessDeniedException")).kind == "auth"
    assert classify(named("botocore.exceptions", "EndpointConnectionError",
                          named("botocore.exceptions", "ConnectionError"))()).kind == "connection"  # fmt: skip


def test_google_says_in_the_body_how_long_to_wait() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36.5s"}
    error = named("google.genai.errors", "ClientError", code=429, details={"error": {"details": [info]}})()
    assert classify(error).after == timedelta(seconds=36.5)
    wrapper = named(
        "langchain_google_genai",
        "GoogleRateLimitError",
        named("langchain_core.exceptions", "ModelRateLimitError"),
    )()
    wrapper.__cause__ = error
    assert classify(wrapper) == Verdict(True, timedelta(seconds=36.5), "rate_limited", None)


def test_aiohttp_and_google_answers_are_read_from_their_attributes() -> None:
    limited = named(
        "aiohttp.client_exceptions", "ClientResponseError", status=429, headers={"Retry-After": "5"}
    )
    assert classify(limited()) == Verdict(
        retry=True, after=timedelta(seconds=5), kind="rate_limited", status=429
    )
    assert classify(named("aiohttp.client_exceptions", "ClientConnectionError")()).kind == "connection"
    assert (
        classify(named("google.api_core.exceptions", "ServiceUnavailable", code=503)()).kind == "overloaded"
    )
    assert (
        classify(named("google.genai.errors", "ClientError", code=400, status="INVALID_ARGUMENT")()).retry
        is False
    )


def test_an_sdk_from_the_same_generator_as_the_known_ones_is_recognised() -> None:
    assert classify(named("groq", "APIConnectionError", named("groq", "APIError"))()).kind == "connection"


def test_a_users_exception_with_a_librarys_class_name_is_not_mistaken() -> None:
    assert classify(named("shop.errors", "TransportError", ValueError)()).kind == "programming"


# --- one line


def test_an_http_error_is_described_by_status_and_url_without_query(server: AnsweringServer) -> None:
    server.answer(503)
    port = server.server_address[1]
    error = raised_by(
        lambda: httpx.get(f"http://agent:hunter2@127.0.0.1:{port}/v1?api_key=s3cr3t").raise_for_status()
    )
    assert describe(error) == f"HTTPStatusError: 503 Service Unavailable from http://127.0.0.1:{port}/v1"


def test_a_providers_message_is_shown(server: AnsweringServer) -> None:
    server.answer(529, body={"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    described = describe(raised_by(lambda: ask_anthropic(server.url)))
    assert described == f"OverloadedError: 529 from {server.url}/v1/messages: Overloaded"


@pytest.mark.parametrize(
    "text",
    [
        "call https://u:PLANTED@host.example/p?key=PLANTED#PLANTED failed",
        "postgres://app:p@PLANTED@db.example:5432/shop",
        "Incorrect API key provided: sk-proj-PLANTED.",
        "sk-ant-PLANTED_99",
        "header Authorization: Bearer PLANTED",
        "{'authorization': 'Basic PLANTED=='}",
        '{"api_key": "PLANTED with spaces"}',
        "got Bearer PLANTED back",
        "client_secret=PLANTED&next",
        "password: PLANTED",
        "AKIAPLANTED0123456",
        "ghp_PLANTED0123456789abc",
        "eyJPLANTED00.PLANTED.PLANTED",
    ],
)
def test_secrets_are_not_described(text: str) -> None:
    assert "PLANTED" not in describe(RuntimeError(text))


def test_an_ordinary_message_is_described_as_it_is() -> None:
    text = "max_tokens: 5000 > 4096 for the risk-averse basic plan (see https://docs.example/limits)"
    assert describe(ValueError(text)) == f"ValueError: {text}"
    assert describe(KeyError()) == "KeyError"
    assert describe(ValueError("two\n  lines")) == "ValueError: two lines"


def test_a_description_is_one_line_of_at_most_500_characters() -> None:
    described = describe(RuntimeError("line\n" * 100_000))
    assert len(described) == 500
    assert "\n" not in described
    assert described.endswith("…")


def test_a_group_is_described_by_its_leaves() -> None:
    described = describe(ExceptionGroup("tools", [ValueError("a"), TypeError("b")]))
    assert described == "ExceptionGroup: ValueError: a; TypeError: b"
