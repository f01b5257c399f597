"""Whatever a node says has a JSON."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import orjson
import pytest
from langchain_core.messages import AIMessage
from langgraph.types import Command, Interrupt, Send
from pydantic import BaseModel

from perdure.streams.wire import to_json


@dataclass
class Point:
    x: int


class Model(BaseModel):
    point: Point


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": (1, 2.5, None, True)}, {"a": [1, 2.5, None, True]}),
        (Point(1), {"x": 1}),
        (Model(point=Point(2)), {"point": {"x": 2}}),
        (Interrupt("why?", id="i"), {"value": "why?", "id": "i"}),
        (Send("node", 1), {"node": "node", "input": 1}),
        ({3}, [3]),
        (deque([1]), [1]),
        (Colour.RED, "red"),
        (UUID(int=1), str(UUID(int=1))),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        (timedelta(seconds=1), 1.0),
        (Decimal("1.5"), 1.5),
        (b"\xff", "/w=="),
        (ValueError("no"), {"error": "ValueError", "message": "no"}),
        ({1: "a"}, {"1": "a"}),
        ("\ud800", "?"),
        ({"big": 2**70}, {"big": str(2**70)}),
        (object, "<class 'object'>"),
    ],
)
def test_values(value: Any, told: Any) -> None:
    assert orjson.loads(to_json(value)) == told


def test_messages_and_commands() -> None:
    told = orjson.loads(to_json([AIMessage("hi", id="m")]))
    assert (told[0]["type"], told[0]["content"], told[0]["id"]) == ("ai", "hi", "m")
    assert orjson.loads(to_json(Command(update={"a": 1})))["update"] == {"a": 1}


def test_a_cycle_ends() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    assert b"..." in to_json(cycle)
