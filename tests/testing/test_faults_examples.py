"""The examples' own graphs bear faults against their real services: a sample here, all of them with PERDURE_CHAOS=all."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from perdure.testing.faults import Ending, Report, Violation, explore
from purchase.graph import graph as purchase
from purchase.services.invariants import violations
from purchase.services.server import PurchaseServices
from support import messages
from support.graph import graph as support
from support.services import SupportServices

ALL = os.environ.get("PERDURE_CHAOS") == "all"
SAMPLE: Any = "all" if ALL else 2
DEPTH: Any = 2 if ALL else 1
pytestmark = [pytest.mark.xdist_group("crashes"), *([pytest.mark.timeout(0)] if ALL else [])]

ORDER = {"sku": "lamp", "quantity": 2, "card": "tok_visa", "address": "Kai 1, Bremen", "customer": "ines"}
QUESTION = messages.DUPLICATE_CHARGE


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("PERDURE_MODEL", raising=False)
    return monkeypatch


def check(report: Report) -> None:
    print(report.table())
    report.assert_ok()
    assert (report.lost, report.doubled, report.stuck, report.wrong) == (0, 0, 0, 0)


async def test_the_purchase_is_done_or_undone_wherever_a_fault_comes(environment: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def world() -> AsyncGenerator[PurchaseServices]:
        with TemporaryDirectory() as folder:
            async with PurchaseServices(Path(folder), seed=1) as services:
                for name, value in services.env.items():
                    environment.setenv(name, value)
                yield services

    def audit(services: PurchaseServices, ending: Ending) -> Iterator[str]:
        ledger = services.ledger()
        if ending.to_undo:
            return  # a person was told of what is left, and has seen to it
        yield from violations(ledger)
        shipped = [effect.operation for effect in ledger.effects].count("ship")
        cancelled = [effect.operation for effect in ledger.effects].count("cancel")
        if (ending.status == "completed") != (shipped - cancelled == 1):
            yield f"the run is {ending.status}, and {shipped - cancelled} shipments are on their way"

    check(
        await explore(
            purchase, ORDER, name="purchase", world=world, oracle=audit, points=SAMPLE, depth=DEPTH, seed=5
        )
    )


async def test_the_reply_is_sent_as_one_mail_wherever_a_fault_comes(environment: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def world() -> AsyncGenerator[SupportServices]:
        with TemporaryDirectory() as folder:
            async with SupportServices(Path(folder)) as services:
                for name, value in services.env.items():
                    environment.setenv(name, value)
                yield services

    def audit(services: SupportServices, ending: Ending) -> Iterator[Violation]:
        # SMTP may deliver again what was sent again; its Message-ID says that it is the same.
        mails = {mail["Message-ID"] for mail in services.mails()}
        if len(mails) > 1 or len(services.tickets()) > 1:
            yield Violation("doubled", f"{len(mails)} mails, {len(services.tickets())} tickets")
        if ending.status == "completed" and ending.result["result"] == "sent" and not mails:
            yield Violation("lost", "no mail has arrived")
        if ending.status == "completed" and ending.result["result"] == "rejected" and mails:
            yield Violation("wrong", "a mail was sent that was rejected")

    check(
        await explore(
            support,
            {"customer_email": QUESTION.customer_email, "message": QUESTION.message},
            name="support",
            world=world,
            oracle=audit,
            decisions=["approve"],
            points=SAMPLE,
            depth=DEPTH,
            seed=5,
        )
    )
