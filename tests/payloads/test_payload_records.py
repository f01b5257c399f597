"""Users' own classes survive a round trip: dataclasses, Pydantic models, enums, NamedTuples, exceptions."""

import enum
from collections import deque
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.types import Interrupt
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel, field_validator

from perdure.errors import PayloadError, PayloadNotSerializable
from perdure.payloads import TypeRegistry, decode, dumps, encode, loads

T = TypeVar("T")


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Plain(enum.Enum):
    PAIR = (1, 2)
    TEXT = "text"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    when: date | None = None


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    count: int = 1


@dataclass(frozen=True)
class BulkLine(Line):
    discount: Decimal = Decimal("0.1")


@dataclass
class Tree:
    name: str
    children: "list[Tree]" = field(default_factory=list)
    parent: "Tree | None" = None


class Details(TypedDict, total=False):
    line: Line
    note: str


@dataclass
class Order:
    id: UUID
    color: Color
    level: Level
    plain: Plain
    lines: list[Line]
    by_sku: dict[str, Line]
    by_number: dict[int, Line]
    by_color: dict[Color, int]
    pair: tuple[Line, Point]
    many: tuple[Line, ...]
    tags: set[str]
    lines_set: frozenset[Line]
    at: datetime
    day: date | None
    wait: timedelta
    path: Path
    best: Line | None
    either: Line | BulkLine
    details: Details
    anything: Any
    data: bytes = b"x"
    status: Literal["open", "closed"] = "open"
    history: deque[Line] = field(default_factory=deque)
    interrupts: tuple[Interrupt, ...] = ()


class Address(BaseModel):
    city: str
    since: date | None = None


class Customer(BaseModel):
    model_config = ConfigDict(populate_by_name=False, extra="forbid")

    name: str = Field(alias="fullName")
    address: Address
    others: list[Address] = []
    line: Line | None = None
    color: Color = Color.RED
    numbers: list[int] = Field(default_factory=list)
    _secret: str = PrivateAttr(default="fresh")

    @field_validator("name")
    @classmethod
    def shout(cls, value: str) -> str:
        return value + "!"


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 1


class Names(RootModel[list[str]]):
    pass


class Box(BaseModel, Generic[T]):
    item: T


REGISTRY = TypeRegistry(
    [Color, Level, Plain, Access, Point, BulkLine, Tree, Order, Customer, Loose, Names, Box[Line]]
)


def order(**changes: Any) -> Order:
    line = Line("a", 2)
    values: dict[str, Any] = {
        "id": UUID(int=5),
        "color": Color.RED,
        "level": Level.LOW,
        "plain": Plain.PAIR,
        "lines": [line, Line("b")],
        "by_sku": {"a": line},
        "by_number": {1: line},
        "by_color": {Color.RED: 3},
        "pair": (line, Point(1, date(2026, 1, 1))),
        "many": (line, line),
        "tags": {"x", "y"},
        "lines_set": frozenset({line}),
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "day": None,
        "wait": timedelta(seconds=3),
        "path": Path("/x"),
        "best": line,
        "either": BulkLine("c"),
        "details": {"line": line, "note": "n"},
        "anything": [line, HumanMessage("x")],
        "history": deque([line], maxlen=4),
        "interrupts": (Interrupt("ok?", id="i"),),
    }
    return Order(**(values | changes))


def round_trip(value: Any, hint: Any = None, registry: TypeRegistry = REGISTRY) -> Any:
    return loads(dumps(value, registry), registry, hint)


@pytest.mark.parametrize(
    "value",
    [
        Color.RED,
        Level.LOW,
        Plain.PAIR,
        Plain.TEXT,
        Access.READ | Access.WRITE,
        Point(1),
        Point(2, date(2026, 1, 1)),
        Line("a"),
        BulkLine("a", 2),
        Tree("a", [Tree("b", [Tree("c")])], parent=Tree("p")),
        order(),
        Address(city="Bonn"),
        Names(["a"]),
        Box[Line](item=Line("a")),
        Loose(a=2, b=(1, 2), c=Line("x")),
        Loose(**{"$type": 1, "$unset": 2, "$extra": 3}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_allowed_type_comes_back_exactly(value):
    for back in (
        decode(encode(value, REGISTRY), REGISTRY),
        round_trip([value])[0],
        round_trip({"a": (value,)})["a"][0],
    ):
        assert type(back) is type(value)
        assert back == value
    assert round_trip(value, type(value)) == value


@pytest.mark.parametrize(
    "changes",
    [
        {"color": "red"},
        {"color": "unknown"},
        {"level": True},
        {"level": 2.0},
        {"color": Level.LOW},
        {"level": 1},
        {"plain": "text"},
        {"id": str(UUID(int=5))},
        {"at": "2026-01-01"},
        {"at": datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))},
        {"day": datetime(2026, 1, 1)},
        {"path": "/x"},
        {"lines": ({"sku": "a"},)},
        {"lines": [{"sku": "a", "count": 1}]},
        {"lines": None},
        {"best": {"sku": "a", "count": 1}},
        {"best": "text"},
        {"best": BulkLine("b")},
        {"either": {"sku": "a"}},
        {"many": [Line("a")]},
        {"pair": (1,)},
        {"tags": ["x"]},
        {"lines_set": {Line("a")}},
        {"by_sku": {"$type": Line("a")}},
        {"by_sku": {1: Line("a")}},
        {"by_number": {"1": Line("a")}},
        {"by_number": {True: Line("a"), 2: Line("b")}},
        {"by_color": {"red": 1}},
        {"details": {"line": {"sku": "a"}}},
        {"details": {"$type": "x", "line": Line("a")}},
        {"details": [1]},
        {"data": [1, 2]},
        {"data": bytearray(b"x")},
        {"wait": 3},
        {"anything": {"$type": "Order"}},
        {"interrupts": ({"value": 1, "id": "i"},)},
    ],
)
def test_a_value_that_contradicts_its_annotation_still_comes_back_exactly(changes):
    value = order(**changes)
    [name] = changes
    for back in (round_trip(value, Order), decode(encode(value, REGISTRY), REGISTRY)):
        assert back == value
        assert type(getattr(back, name)) is type(getattr(value, name))
        assert repr(back) == repr(value)


def test_a_subclass_of_text_in_a_typed_field_comes_back_as_text():
    class Name(str):
        pass

    class Row(dict):
        pass

    value = order(id=Name("no UUID"), best=Row(sku=Line("z")), either=Name("n"), at=Name("never"))
    back = round_trip(value, Order)
    assert (back.id, back.either, back.at) == ("no UUID", "n", "never")
    assert back.best == {"sku": Line("z")}


def test_an_object_with_its_own_idea_of_equality_is_refused_clearly():
    class Array:
        def __eq__(self, other: object) -> Any:
            raise ValueError("ambiguous")

        __hash__ = None

    with pytest.raises(PayloadNotSerializable, match=r"Array' at '\[0\]\.artifact'"):
        dumps([ToolMessage("x", tool_call_id="1", artifact=Array())], REGISTRY)


def test_a_top_level_dataclass_is_a_plain_object_and_so_are_its_declared_parts():
    value = order(anything=Line("z"), history=deque())
    assert decode(encode(value, REGISTRY), REGISTRY) == value
    written = loads(dumps(value, TypeRegistry()), TypeRegistry(), lenient=True)
    assert written["lines"] == [{"sku": "a", "count": 2}, {"sku": "b", "count": 1}]
    assert written["by_sku"] == {"a": {"sku": "a", "count": 2}}
    assert written["by_number"] == {"1": {"sku": "a", "count": 2}}
    assert written["by_color"] == {"red": 3}
    assert written["many"] == [{"sku": "a", "count": 2}] * 2
    assert written["tags"] == ["x", "y"]
    assert (written["color"], written["level"], written["path"]) == ("red", 1, "/x")
    assert (written["id"], written["at"]) == (str(UUID(int=5)), "2026-01-01T00:00:00+00:00")
    assert written["details"] == {"line": {"sku": "a", "count": 2}, "note": "n"}
    assert written["interrupts"] == [{"value": "ok?", "id": "i"}]
    assert written["either"]["$type"].endswith("test_payload_records.BulkLine")
    assert written["anything"]["$type"].endswith("test_payload_records.Line")


def test_a_top_level_dataclass_without_a_hint_is_a_dict():
    assert round_trip(Line("a")) == {"sku": "a", "count": 1}


def test_arguments_need_no_registration_because_their_annotations_name_their_types():
    fresh = TypeRegistry()
    for value in (
        order(anything=None),
        Customer(fullName="Ann", address=Address(city="Bonn"), line=Line("a")),
    ):
        assert round_trip(value, type(value), fresh) == value
        assert round_trip(value, type(value) | None, fresh) == value
    assert round_trip(Color.RED, Color, fresh) is Color.RED
    assert dumps(Color.RED, fresh) == b'"red"'


def test_init_only_and_computed_fields_are_restored_without_running_init():
    @dataclass
    class Account:
        owner: str
        seed: InitVar[int]
        number: int = field(init=False)

        def __post_init__(self, seed: int) -> None:
            self.number = seed * 2

    registry = TypeRegistry([Account])
    value = Account("ann", 21)
    back = round_trip([value], registry=registry)[0]
    assert (back, back.number) == (value, 42)


def test_post_init_runs_for_what_is_no_field_and_recorded_fields_win():
    @dataclass
    class Cached:
        name: str
        label: str = ""

        def __post_init__(self) -> None:
            self.cache: dict[str, int] = {}
            self.label = self.label or self.name.upper()

    value = Cached("a")
    value.label = "changed"
    back = round_trip([value], registry=TypeRegistry([Cached]))[0]
    assert (back.label, back.cache) == ("changed", {})


def test_a_field_added_later_gets_its_default():
    data = {"$type": encode(Line("a"), REGISTRY)["$type"], "sku": "a"}
    assert decode(data, REGISTRY) == Line("a", 1)
    assert loads(b'{"sku": "a", "unknown": 1}', REGISTRY, Line) == Line("a")
    with pytest.raises(PayloadError, match="'sku' is missing"):
        loads(b'{"count": 1}', REGISTRY, Line)


def test_a_model_is_restored_without_validating_again():
    value = Customer(fullName="Ann", address=Address(city="Bonn"))
    value.numbers.append("not validated")
    value._secret = "gone"
    back = round_trip(value)
    assert (back.name, back.numbers, back._secret) == ("Ann!", ["not validated"], "fresh")
    assert back.model_fields_set == value.model_fields_set == {"name", "address"}
    assert back.address == value.address
    assert back.model_copy(update={"name": "x"}).name == "x"


def test_a_model_without_extra_values_is_restored_in_full():
    value = Loose()
    back = round_trip(value)
    assert (back, back.model_fields_set, back.model_extra) == (value, set(), {})


def test_plain_json_for_a_model_is_validated():
    data = b'{"fullName": "Ann", "address": {"city": "Bonn", "since": "2026-01-31"}}'
    back = loads(data, TypeRegistry(), Customer)
    assert (back.name, back.address.since) == ("Ann!", date(2026, 1, 31))
    data = dumps({"fullName": "Ann", "address": Address(city="Bonn")}, REGISTRY)
    assert loads(data, REGISTRY, Customer).address == Address(city="Bonn")
    with pytest.raises(PayloadError, match="fullName"):
        loads(b'{"name": "Ann"}', TypeRegistry(), Customer)


def test_the_path_leads_past_what_annotations_allow():
    with pytest.raises(PayloadNotSerializable, match=r"'builtins\.object' at 'anything\.x'"):
        dumps(order(anything={"x": object()}), TypeRegistry())
