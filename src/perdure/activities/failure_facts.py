"""What an exception carries: its classes by name, its status, headers and codes, and where it was raised.

Side: activities. Knows the shapes of many clients' exceptions and imports none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast

__all__ = [
    "Headers",
    "entry",
    "headers_of",
    "provider_codes",
    "raised_in",
    "retry_delay",
    "smtp_codes",
    "status_of",
    "type_names",
]


class Headers(Protocol):
    """What `retry_after` needs of response headers: any mapping has it, whatever its keys' case."""

    def items(self) -> Iterable[tuple[Any, Any]]: ...


def type_names(error: BaseException) -> list[str]:
    """`package.Class` along the MRO, each with its `*.Class` form."""
    return [
        f"{package}.{cls.__name__}"
        for cls in type(error).__mro__
        for package in (cls.__module__.partition(".")[0], "*")
    ]


def status_of(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    candidates = (
        getattr(error, "status_code", None),
        getattr(response, "status_code", None),
        getattr(response, "status", None),
        entry(entry(response, "ResponseMetadata"), "HTTPStatusCode"),
        getattr(error, "status", None),
        getattr(error, "code", None),
    )
    return next((int(code) for code in candidates if isinstance(code, int) and 100 <= code < 600), None)


def headers_of(error: BaseException) -> Headers:
    response = getattr(error, "response", None)
    candidates = (
        getattr(response, "headers", None),
        getattr(error, "headers", None),
        entry(entry(response, "ResponseMetadata"), "HTTPHeaders"),
    )
    found = next((headers for headers in candidates if hasattr(headers, "items")), None)
    return cast("Headers", {} if found is None else found)


def provider_codes(error: BaseException) -> list[str]:
    body = getattr(error, "body", None)
    inner = entry(body, "error")
    candidates = (
        getattr(error, "code", None),
        getattr(error, "type", None),
        *(entry(part, key) for part in (inner, body) for key in ("code", "type")),
        entry(entry(getattr(error, "response", None), "Error"), "Code"),
    )
    return [code for code in candidates if isinstance(code, str)]


def retry_delay(error: BaseException) -> str:
    """`retryDelay` of a `google.rpc.RetryInfo` in the answer's body; "" where there is none."""
    details = entry(entry(getattr(error, "details", None), "error"), "details")
    listed = cast("list[object]", details) if isinstance(details, list) else []
    return next((str(delay) for each in listed if (delay := entry(each, "retryDelay"))), "")


def smtp_codes(error: BaseException) -> list[int]:
    recipients = getattr(error, "recipients", None)
    if isinstance(recipients, Mapping):  # smtplib: address → (code, text)
        codes = [answer[0] for answer in cast("Mapping[str, tuple[int, bytes]]", recipients).values()]
    elif isinstance(recipients, list):  # aiosmtplib: one exception for each
        codes = [getattr(refusal, "code", None) for refusal in cast("list[object]", recipients)]
    else:
        codes = [getattr(error, "smtp_code", None), getattr(error, "code", None)]
    return [code for code in codes if isinstance(code, int)]


def entry(container: object, key: str) -> Any:
    return cast("Mapping[str, Any]", container).get(key) if isinstance(container, Mapping) else None


def raised_in(error: BaseException, places: tuple[str, ...], *, through: tuple[str, ...] = ()) -> bool:
    """Whether a module or function of `places` raised it, itself or by what it called in `through`."""
    innermost = ""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        place = f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_name}"
        if not _within(place, through):
            innermost = place
        trace = trace.tb_next
    return _within(innermost, places)


def _within(place: str, places: tuple[str, ...]) -> bool:
    return any(place == known or place.startswith(f"{known}.") for known in places)
