"""`python -m purchase.demo` as a newcomer runs it: real processes, and nothing left of them afterwards."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from purchase.demo.summary import Books, Summary
from purchase.services.invariants import violations
from purchase.services.ledger import AppliedEffect, Ledger, ReservedGoods, Shelf, read_ledger

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = (sys.executable, "-m", "purchase.demo")

pytestmark = pytest.mark.xdist_group("demo")


class Newcomer:
    """An empty home, an empty folder, and a mark on every process that comes out of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        home = folder / "home"
        home.mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.env = {**kept, "HOME": str(home), "PYTHONPATH": str(EXAMPLES), "PERDURE_DEMO_MARK": self.mark}

    def left(self) -> list[str]:
        """The processes that still run."""
        return [
            " ".join(process.info["cmdline"])
            for process in psutil.process_iter(["environ", "cmdline", "status"])
            if (process.info["environ"] or {}).get("PERDURE_DEMO_MARK") == self.mark
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path)
    yield newcomer
    assert newcomer.left() == []


def test_the_shipment_fails_and_the_money_comes_back(newcomer: Newcomer) -> None:
    run = subprocess.run(
        [*COMMAND, "--json"],
        cwd=newcomer.folder, env=newcomer.env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr
    assert newcomer.left() == []
    assert "\x1b" not in run.stdout
    assert "98.00 EUR given back" in run.stdout
    summary = json.loads(run.stdout.splitlines()[-1])
    assert summary["result"].startswith("shipped:")
    assert (summary["compensation"], summary["problems"]) == ("compensated", [])
    assert "no courier goes there" in summary["failure"]
    ledger = read_ledger(newcomer.folder / ".perdure/demo-purchase/services/purchase.sqlite")
    assert violations(ledger) == []
    assert [effect.operation for effect in ledger.effects] == summary["effects"]
    assert Books.read(ledger, "lamp") == Books(stock=98, reserved=0, shipped=2, charged=19600, refunded=9800)


def test_an_interrupt_leaves_nothing_running(newcomer: Newcomer) -> None:
    with subprocess.Popen(
        COMMAND,
        cwd=newcomer.folder, env=newcomer.env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        seen = ""
        for line in demo.stdout:
            seen += line
            if "Order 1" in line:
                break
        else:
            raise AssertionError(f"exit {demo.wait()}: {seen}{demo.communicate()[1]}")
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert errors.strip() == "interrupted; nothing is left running"


def effect(
    number: int, operation: str, reservation: str, *, quantity: int = 0, amount: int = 0
) -> AppliedEffect:
    return AppliedEffect(
        number=number, request=number, at="", service="s", operation=operation, key=str(number), subject="",
        reservation=reservation, sku="lamp" if quantity else "", quantity=quantity, amount=amount, currency="EUR",
    )  # fmt: skip


EFFECTS = (
    effect(1, "reserve", "a", quantity=2),
    effect(2, "charge", "a", amount=20),
    effect(3, "ship", "a", quantity=2),
    effect(4, "reserve", "b", quantity=2),
    effect(5, "charge", "b", amount=20),
    effect(6, "refund", "b", amount=20),
    effect(7, "release", "b", quantity=2),
)


def told() -> Summary:
    bought = Books(stock=8, reserved=0, shipped=2, charged=20, refunded=0)
    ledger = Ledger(
        products=(Shelf("lamp", 10, "EUR", 10, 8),),
        reservations=(ReservedGoods("a", "lamp", 2, "shipped"), ReservedGoods("b", "lamp", 2, "released")),
        effects=EFFECTS,
        requests=(),
    )
    return Summary(
        result="shipped:sh", failure="refused", compensation="compensated", before=Books(10, 0, 0, 0, 0),
        bought=bought, undone=Books.read(ledger, "lamp"), ledger=ledger, seconds=1.0,
    )  # fmt: skip


def test_a_demo_that_kept_its_promises_has_no_problems() -> None:
    assert told().problems == []
    assert told().undone == Books(stock=8, reserved=0, shipped=2, charged=40, refunded=20)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"result": "lost"}, "the first order's result is 'lost'"),
        ({"failure": ""}, "did not fail"),
        ({"compensation": "compensation_incomplete"}, "'compensation_incomplete', not 'compensated'"),
        ({"undone": replace(told().undone, stock=6, reserved=2)}, "left something behind"),
        ({"undone": replace(told().undone, refunded=10)}, "left something behind"),
        (
            {"ledger": replace(told().ledger, effects=EFFECTS[:5] + EFFECTS[6:])},
            "reservation 'b': 20 charged - 0 refunded",
        ),
    ],
)
def test_a_broken_promise_is_found(change: dict[str, Any], problem: str) -> None:
    assert any(problem in found for found in replace(told(), **change).problems)
