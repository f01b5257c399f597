"""An exception in one line, without what should not be read by others. Side: activities."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from perdure.activities.failure_facts import entry, status_of, type_names

__all__ = ["describe", "names_a_key"]

_MAX_DESCRIPTION_CHARS: Final = 500
_MAX_CAUSES: Final = 5


def describe(error: BaseException) -> str:
    """One line for logs and for Temporal's UI, at most 500 characters: `HTTPStatusError: 503 Service
    Unavailable from http://127.0.0.1/v1`.

    URLs lose their query and user info; what looks like a key, a token or a password is replaced. A secret
    that looks like plain text can't be recognised.
    """
    text = _message(error)
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= _MAX_DESCRIPTION_CHARS else line[: _MAX_DESCRIPTION_CHARS - 1] + "…"


def _message(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(leaf) for leaf in error.exceptions)
    if "*.APIConnectionError" in type_names(error) and (cause := _innermost(error)) is not error:
        # Providers' clients say "Connection error." and nothing else.
        return _redact(f"{error} ({type(cause).__name__}: {cause})")
    status = status_of(error)
    # Only where there is a status: httpx raises on reading `request` of an error that has none.
    url = None if status is None else getattr(getattr(error, "request", None), "url", None)
    if status is None or url is None:
        return _redact(str(error))
    body = getattr(error, "body", None)
    said = entry(entry(body, "error"), "message") or entry(body, "message")
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    return _redact(f"{status} {phrase} from {url}" + (f": {said}" if said else ""))


def names_a_key(error: BaseException) -> bool:
    """Whether the error's text or arguments hold what is plainly a key."""
    text = f"{error} {error.args!r}"
    return _KEY.search(text) is not None or _HEADER.search(text) is not None


def _innermost(error: BaseException) -> BaseException:
    for _ in range(_MAX_CAUSES):
        if error.__cause__ is None:
            break
        error = error.__cause__
    return error


_URL: Final = re.compile(
    r"""\b([a-z][\w+.-]{0,20}://)(?:[^\s/?'"<>]*@)?([^\s?#'"<>]*)(?:[?#][^\s'"<>]*)?""", re.IGNORECASE
)
_KEY: Final = re.compile(
    r"\bsk[-_][\w*.-]{6,}|\bAKIA[0-9A-Z]{12,}|\bgh[pousr]_\w{16,}|\bAIza[\w-]{20,}|\bxox[a-z]-[\w-]{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.?[\w-]*|(?<=bearer )[^\s'\",;]+|(?<=Bearer )[^\s'\",;]+"
)
# HTTP clients quote the header that they cannot write, which is the key with its line break.
_HEADER: Final = re.compile(r"""(illegal header (?:value|name) )b?(?:'[^']*'|"[^"]*")""", re.IGNORECASE)
_NAMED_SECRET: Final = re.compile(
    r"""((?:api[\s_-]?key|secret|password|passwd|token|authorization)["']?\s*[:=]\s*)"""
    r"""(?:basic\s+|bearer\s+)?("[^"]*"|'[^']*'|[^\s,;)}\]]+)""",
    re.IGNORECASE,
)


def _redact(text: str) -> str:
    # A megabyte of answer in a message costs nothing here: only the start can be shown.
    line = " ".join(text[: _MAX_DESCRIPTION_CHARS * 8].split())
    line = _HEADER.sub(r"\1[redacted]", line)
    line = _NAMED_SECRET.sub(r"\1[redacted]", _URL.sub(r"\1\2", line))
    return _KEY.sub("[redacted]", line)
