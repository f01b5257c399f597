"""Exceptions survive a round trip: as themselves where the class is known, by name and message where not."""

from typing import Any

import pytest

from perdure.errors import PayloadTypeUnknown, PerdureError, RemoteError
from perdure.payloads import TypeRegistry, dumps, encode, loads

REGISTRY = TypeRegistry()


def round_trip(value: Any, registry: TypeRegistry = REGISTRY) -> Any:
    return loads(dumps(value, registry), registry)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad", 3),
        KeyError("k"),
        FileNotFoundError(2, "no such file"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        TimeoutError(),
        ExceptionGroup("many", [ValueError("a"), TypeError("b")]),
        PerdureError("ours"),
        PayloadTypeUnknown("ours"),
    ],
)
def test_a_known_exception_comes_back_as_itself(error):
    back = round_trip({"error": error})["error"]
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert repr(back) == repr(error)


class Declined(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"declined with {code}")
        self.code = code


def test_an_allowed_exception_comes_back_with_its_attributes():
    back = round_trip([Declined(code=51)], registry=TypeRegistry([Declined]))[0]
    assert type(back) is Declined
    assert (back.code, str(back)) == (51, "declined with 51")


def test_another_exception_comes_back_as_a_remote_error_however_often_it_travels():
    back = round_trip(round_trip([Declined(code=51)]))[0]
    assert type(back) is RemoteError
    assert back.class_name.endswith(".Declined")
    assert back.message == "declined with 51"
    assert str(back).endswith("Declined: declined with 51")


def test_an_exception_with_arguments_that_cannot_travel_keeps_its_message():
    back = round_trip([ValueError(object)])[0]
    assert type(back) is ValueError
    back = round_trip([ValueError("bad", Declined)])[0]
    assert (type(back), "bad" in str(back)) == (ValueError, True)


def test_an_exception_reads_well():
    assert encode(ValueError("bad"), REGISTRY) == {
        "$type": "Exception",
        "class": "ValueError",
        "message": "bad",
        "args": ["bad"],
    }
