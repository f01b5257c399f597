"""JSON types and the standard library's values survive a round trip with their exact type."""

import math
import re
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from pydantic import HttpUrl

from perdure.errors import PayloadError, PayloadNotSerializable
from perdure.payloads import TypeRegistry, decode, dumps, encode, loads

REGISTRY = TypeRegistry()

VALUES = [
    None,
    True,
    0,
    -1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**40,
    1732312345678901234,
    0.1,
    -0.0,
    1e300,
    1e19,
    5e-324,
    math.inf,
    -math.inf,
    "",
    "grüße, 世界 👋",
    "\x00\u2028\\\"'",
    "lone \ud800 surrogate",
    "1234567890123456789012345",
    [],
    {},
    [[[]], {}],
    {"a": [1, {"b": None}]},
    {"$type": "AIMessage"},
    {"$type": None, "$ref": "#/x"},
    {"$type": {"$type": "set"}},
    {"value": 1, "items": []},
    {1: "a", "1": "b", None: "c"},
    {(1, 2): [3], frozenset({1}): 4, 1.5: 5},
    (),
    (1, (2, [3, (4,)])),
    set(),
    {1, "a", None, (1, 2)},
    frozenset({frozenset({1}), "b"}),
    deque([1, 2]),
    deque([1, (2,)], maxlen=3),
    OrderedDict(b=1, a=2),
    Counter({"a": 2, "b": -1}),
    b"",
    b"\x00\xff",
    bytearray(b"abc"),
    datetime(2026, 1, 31, 12, 30, 15, 123456),
    datetime(2026, 1, 31, tzinfo=UTC),
    datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    date(2026, 1, 31),
    time(23, 59, 59, 1),
    time(1, 2, tzinfo=UTC),
    timedelta(days=-1, microseconds=7),
    timedelta.max,
    timedelta(0),
    UTC,
    timezone(timedelta(hours=-3)),
    UUID("12345678-1234-5678-1234-567812345678"),
    Decimal("0.10"),
    Decimal("NaN"),
    Path("/var/lib/x"),
    PurePosixPath("a/b"),
    PureWindowsPath("c:\\x"),
    IPv4Address("127.0.0.1"),
    IPv4Interface("127.0.0.1/8"),
    IPv4Network("10.0.0.0/8"),
    IPv6Address("::1"),
    IPv6Interface("::1/64"),
    IPv6Network("fe80::/10"),
    HttpUrl("https://example.com/a?b=c"),
    re.compile(r"a+", re.IGNORECASE),
    re.compile(rb"\x00"),
    int,
    type(None),
]


def same(left: object, right: object) -> bool:
    """Equal, of the same types all the way down, and in the same order."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, list | tuple | deque):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Decimal | float):
        return repr(left) == repr(right)
    return left == right


@pytest.mark.parametrize("value", VALUES)
def test_a_value_comes_back_exactly(value):
    assert same(decode(encode(value, REGISTRY), REGISTRY), value)
    assert same(loads(dumps(value, REGISTRY), REGISTRY), value)
    assert same(loads(dumps([{"in": value}], REGISTRY), REGISTRY), [{"in": value}])


def test_not_a_number_comes_back():
    assert math.isnan(loads(dumps(math.nan, REGISTRY), REGISTRY))


def test_zones_and_folds_come_back():
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 2, 30, tzinfo=berlin)
    second = first.replace(fold=1)
    [a, b, zone, opening] = loads(dumps([first, second, berlin, time(9, tzinfo=berlin)], REGISTRY), REGISTRY)
    assert (a.tzinfo, a.fold, b.fold, zone, opening.tzinfo) == (berlin, 0, 1, berlin, berlin)
    assert b.utcoffset() == second.utcoffset() != a.utcoffset()


def test_defaultdict_keeps_a_built_in_factory():
    value = defaultdict(list, {"a": [1]})
    back = loads(dumps(value, REGISTRY), REGISTRY)
    assert back == value
    assert back.default_factory is list


def test_subclasses_of_json_types_come_back_as_their_base():
    class Name(str):
        def __str__(self) -> str:
            return "overridden"

    class Count(int):
        pass

    class Ratio(float):
        pass

    class Row(dict):
        pass

    back = loads(dumps([Name("n"), Count(3), Ratio(0.5), Row(a=Name("x"))], REGISTRY), REGISTRY)
    assert same(back, ["n", 3, 0.5, {"a": "x"}])


def test_plain_json_is_written_as_itself():
    value = {"a": [1, 2.5, "x", None, True], "b": {"c": "ü"}}
    assert encode(value, REGISTRY) == value
    assert dumps(value, REGISTRY) == '{"a":[1,2.5,"x",null,true],"b":{"c":"ü"}}'.encode()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ((1, "a"), {"$type": "tuple", "items": [1, "a"]}),
        ({2, 1}, {"$type": "set", "items": [1, 2]}),
        ({1: "a"}, {"$type": "dict", "items": [[1, "a"]]}),
        (date(2026, 1, 31), {"$type": "date", "value": "2026-01-31"}),
        (timedelta(days=1, seconds=30), {"$type": "timedelta", "days": 1, "seconds": 30}),
        (b"abc", {"$type": "bytes", "base64": "YWJj"}),
        (math.nan, {"$type": "float", "value": "nan"}),
    ],
)
def test_tagged_forms_are_readable(value, written):
    assert encode([value], REGISTRY) == [written]


def test_an_unknown_object_is_refused_with_its_path_and_the_fix():
    value = {"messages": [1, {"artifact": (object(),)}]}
    with pytest.raises(
        PayloadNotSerializable, match=r"'builtins\.object' at 'messages\[1\]\.artifact\[0\]'.*dataclass"
    ):
        dumps(value, REGISTRY)


def test_the_value_itself_is_refused_without_a_path():
    with pytest.raises(PayloadNotSerializable, match=r"cannot put a 'builtins\.function' into a payload"):
        encode(lambda: None, REGISTRY)


def nested(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


def test_moderate_nesting_is_fine():
    assert loads(dumps(nested(200), REGISTRY), REGISTRY) == nested(200)


@pytest.mark.parametrize("levels", [260, 500, 5000])
def test_deep_nesting_is_refused_clearly(levels):
    with pytest.raises(PayloadNotSerializable, match="nested too deeply"):
        dumps(nested(levels), REGISTRY)


def test_a_cycle_is_refused_clearly():
    value: dict = {}
    value["self"] = [value]
    with pytest.raises(PayloadNotSerializable, match="contains itself"):
        dumps(value, REGISTRY)


def test_deeply_nested_json_is_refused_clearly():
    with pytest.raises(PayloadError, match=r"nested too deeply|no JSON"):
        loads(b"[" * 900 + b"]" * 900, REGISTRY)


def test_a_surrogate_pair_in_two_characters_is_refused():
    with pytest.raises(PayloadNotSerializable, match="surrogate"):
        dumps({"a": "\ud83d\ude00"}, REGISTRY)


def test_a_number_too_long_to_print_is_refused():
    with pytest.raises(PayloadNotSerializable, match="write the number as text"):
        dumps([10**5000], REGISTRY)


def test_what_is_no_json_is_a_clear_error():
    with pytest.raises(PayloadError, match="no JSON"):
        loads(b"\x80binary", REGISTRY)


def test_a_payload_that_does_not_fit_its_type_is_a_clear_error():
    with pytest.raises(PayloadError, match="cannot restore a 'UUID'"):
        loads(b'{"$type":"UUID","value":"no"}', REGISTRY)
    with pytest.raises(PayloadError, match="cannot restore a 'Decimal'"):
        loads(b'{"$type":"Decimal","value":"no"}', REGISTRY)
    with pytest.raises(PayloadError, match="cannot restore a 'tuple'"):
        loads(b'{"$type":"tuple"}', REGISTRY)


def test_decoding_leaves_its_input_alone():
    data = encode({"a": [(1,), {2}]}, REGISTRY)
    before = orjson.dumps(data)
    decode(data, REGISTRY)
    assert orjson.dumps(data) == before
