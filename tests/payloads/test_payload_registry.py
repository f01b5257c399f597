"""The allow-list: what is on it, and what happens to a type that is not."""

import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import pytest
from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.graph.message import add_messages
from pydantic import BaseModel

from perdure.errors import PayloadNotSerializable, PayloadTypeUnknown
from perdure.payloads import TypeRegistry, dumps, loads

T = TypeVar("T")


class Color(enum.StrEnum):
    RED = "red"


class Access(enum.Flag):
    READ = 1


class Point(NamedTuple):
    x: int


@dataclass(frozen=True)
class Line:
    sku: str
    count: int = 1


@dataclass(frozen=True)
class BulkLine(Line):
    discount: Decimal = Decimal("0.1")


class Address(BaseModel):
    city: str


class Customer(BaseModel):
    address: Address | None = None


class Box(BaseModel, Generic[T]):
    item: T


@dataclass
class Order:
    color: Color
    points: tuple[Point, ...]
    lines: dict[str, list[Line | BulkLine]]


REGISTRY = TypeRegistry([BulkLine, Line])


def round_trip(value: Any, registry: TypeRegistry = REGISTRY) -> Any:
    return loads(dumps(value, registry), registry)


def test_a_type_that_is_not_allowed_is_refused_when_written():
    with pytest.raises(PayloadNotSerializable, match=r"Line' at 'orders\[1\]\.line'.*types=\[Line\]"):
        dumps({"orders": [1, {"line": Line("a")}]}, TypeRegistry())


def test_a_type_that_is_not_allowed_is_refused_when_read():
    data = dumps([Line("a")], REGISTRY)
    with pytest.raises(PayloadTypeUnknown, match=r"test_payload_registry\.Line'.*types="):
        loads(data, TypeRegistry())


def test_lenient_reading_shows_unknown_types_as_dicts():
    data = dumps([{"line": BulkLine("a")}, HumanMessage("x")], REGISTRY)
    [shown, message] = loads(data, TypeRegistry(), lenient=True)
    assert shown["line"].pop("$type").endswith("test_payload_registry.BulkLine")
    assert shown["line"] == {"sku": "a", "count": 1, "discount": "0.1"}
    assert message == HumanMessage("x")


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    order: "Order | None"
    boxes: dict[str, list[Box[Line]]]
    hidden: "NotImported"  # noqa: F821


def test_discovery_follows_annotations_and_skips_what_it_cannot_resolve():
    registry = TypeRegistry.discover(State)
    for tp in (Order, Line, BulkLine, Color, Point, Box[Line]):
        assert tp in registry
        assert registry.resolve(registry.name_of(tp)) is tp
    assert Customer not in registry
    assert registry.name_of(Customer) is None


def test_discovery_reads_signatures():
    def node(state: State, customer: Annotated[Customer, "x"]) -> dict[str, Point] | Literal[Access.READ]: ...

    registry = TypeRegistry.discover(node)
    assert all(tp in registry for tp in (Line, Customer, Address, Point, Access))


def test_local_classes_have_names_too():
    @dataclass
    class Local:
        a: int

    registry = TypeRegistry([Local])
    assert registry.name_of(Local).endswith(".test_local_classes_have_names_too.<locals>.Local")
    assert round_trip([Local(1)], registry=registry) == [Local(1)]


def test_a_type_added_later_is_known_at_once():
    registry = TypeRegistry()
    with pytest.raises(PayloadNotSerializable):
        dumps([Line("a")], registry)
    registry.add(Line)
    assert round_trip([Line("a")], registry=registry) == [Line("a")]


def test_a_class_that_cannot_travel_is_refused_when_listed():
    class Opaque:
        pass

    with pytest.raises(TypeError, match=r"Opaque'.*make it one of these"):
        TypeRegistry([Opaque])
    TypeRegistry([State, UUID, dict, list[Line]])
