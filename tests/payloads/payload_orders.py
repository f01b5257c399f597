"""A workflow in the library style, which Temporal's sandbox imports anew for each run."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel
from temporalio import activity, workflow


class Color(StrEnum):
    RED = "red"


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    sku: str
    at: datetime | None = None


class Customer(BaseModel):
    name: str
    since: date
    lines: list[Line] = []


@dataclasses.dataclass
class Order:
    id: UUID
    color: Color
    lines: list[Line]
    at: datetime
    total: Decimal
    wait: timedelta
    owner: Customer
    either: Line | Customer
    where: Path
    anything: Any = None


def checked(order: Order) -> Order:
    """The order, after a check that every part of it has its declared type."""
    expected = [
        (order.id, UUID),
        (order.total, Decimal),
        (order.wait, timedelta),
        (order.owner, Customer),
        (order.either, Customer),
        (order.owner.lines[0], Line),
        (order.lines[0], Line),
        (order.color, Color),
    ]
    wrong = [f"{value!r} is no {tp.__name__}" for value, tp in expected if type(value) is not tp]
    names = [type(value).__name__ for value in (order.at, order.lines[0].at, order.where)]
    if wrong or names != ["datetime", "datetime", "PosixPath"]:
        raise TypeError(f"{wrong} {names}")
    return order


@activity.defn
async def ship(order: Order) -> Order:
    return dataclasses.replace(checked(order), anything=[HumanMessage("shipped"), (1, 2)])


@workflow.defn
class ShipOrder:
    """Passes an order through an activity and back to the client."""

    @workflow.run
    async def run(self, order: Order, color: Color, owner: Customer) -> Order:
        if (color, owner) != (Color.RED, checked(order).owner):
            raise ValueError(f"got {color!r} and {owner!r}")
        shipped = checked(
            await workflow.execute_activity(ship, order, start_to_close_timeout=timedelta(seconds=10))
        )
        shipped.anything = [*shipped.anything, AIMessage(workflow.now().isoformat()), workflow.now()]
        return shipped


@workflow.defn
class Undecodable:
    """Returns what no payload can carry."""

    @workflow.run
    async def run(self) -> Any:
        return {"result": [object()]}
