"""The LangGraph form against the real services, replayed at every workflow task: whatever fails, it is done or undone."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.pregel import Pregel

from perdure.client import RunHandle
from perdure.errors import RunCancelled, RunFailed
from perdure.testing import PerdureEnvironment
from perdure.testing.models import ScriptedChatModel
from purchase import model
from purchase.graph import graph
from purchase.services.faults import Fault, Kind
from purchase.services.invariants import keys_apply_once, violations
from purchase.services.server import PurchaseServices
from purchase.steps import NotShipped

ORDER = {"sku": "lamp", "quantity": 2, "card": "tok_visa", "address": "Kai 1, Bremen", "customer": "ines"}
STEPS = [("inventory", "reserve"), ("payments", "charge"), ("shipping", "ship")]
UNDOS = ["release", "refund", "cancel"]


@pytest.fixture
async def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PurchaseServices]:
    async with PurchaseServices(tmp_path / "data", seed=1) as services:
        monkeypatch.delenv("PERDURE_MODEL", raising=False)
        monkeypatch.setenv("PURCHASE_TIMEOUT_SECONDS", "1")
        for name, value in services.env.items():
            monkeypatch.setenv(name, value)
        yield services


@pytest.fixture
async def env(services: PurchaseServices) -> AsyncIterator[PerdureEnvironment]:
    async with PerdureEnvironment.start({"purchase": graph}) as env:
        yield env


def happened(services: PurchaseServices) -> list[str]:
    return [effect.operation for effect in services.ledger().effects]


def done_and_undone(steps: int) -> list[str]:
    return [operation for _, operation in STEPS[:steps]] + UNDOS[:steps][::-1]


async def arrived(services: PurchaseServices, operation: str, *, after: int) -> None:
    while not any(r.operation == operation for r in services.ledger().requests[after:]):  # noqa: ASYNC110 - HTTP
        await asyncio.sleep(0.02)


async def fails(run: RunHandle) -> RunFailed:
    with pytest.raises(RunFailed) as failed:
        await run.result()
    return failed.value


async def test_it_runs_without_perdure(services: PurchaseServices) -> None:
    assert isinstance(graph, Pregel)
    result = (await graph.ainvoke(ORDER))["result"]
    assert result == f"shipped:{services.ledger().effects[-1].subject}"
    assert violations(services.ledger()) == []


async def test_an_order_is_reserved_paid_and_shipped(
    env: PerdureEnvironment, services: PurchaseServices
) -> None:
    for _ in range(2):
        run = await env.start("purchase", ORDER, thread_id="t", keep_open=True)
        result = (await run.result())["result"]
        assert result == f"shipped:{services.ledger().effects[-1].subject}"
    assert happened(services) == ["reserve", "charge", "ship"] * 2
    assert violations(services.ledger()) == []


@pytest.mark.parametrize("step", range(3))
async def test_a_step_that_is_refused_undoes_what_came_before_last_one_first(
    env: PerdureEnvironment, services: PurchaseServices, step: int
) -> None:
    services.faults.add(Fault("reject", *STEPS[step], reason="not today"))
    assert "not today" in str(await fails(await env.start("purchase", ORDER)))
    assert happened(services) == done_and_undone(step)
    assert violations(services.ledger()) == []


@pytest.mark.parametrize(
    ("step", "kind"), [(0, "reset_after"), (1, "timeout_after"), (2, "reset_after"), (2, "malformed")]
)
async def test_a_step_whose_answer_is_lost_happens_once(
    env: PerdureEnvironment, services: PurchaseServices, step: int, kind: Kind
) -> None:
    services.faults.add(Fault(kind, *STEPS[step]))
    assert (await (await env.start("purchase", ORDER)).result())["result"].startswith("shipped:")
    assert happened(services) == ["reserve", "charge", "ship"]
    assert violations(services.ledger()) == []


@pytest.mark.parametrize("step", range(3))
async def test_a_step_that_happened_though_nobody_ever_knew_is_undone_too(
    env: PerdureEnvironment, services: PurchaseServices, step: int
) -> None:
    service, operation = STEPS[step]
    services.faults.add(Fault("reset_after", service, operation), Fault("reject", service, "by_key"))
    failure = await fails(await env.start("purchase", ORDER))
    assert failure.details["compensation"] == "compensated"
    assert happened(services) == done_and_undone(step + 1)
    assert violations(services.ledger()) == []


async def test_a_cancellation_undoes_everything_also_what_is_under_way(services: PurchaseServices) -> None:
    # The time-skipping server loses a workflow task that cancels an activity which has just ended.
    async with PerdureEnvironment.start({"purchase": graph}, time_skipping=False) as env:
        for step in range(3):
            before = len(services.ledger().requests), len(happened(services))
            services.faults.add(Fault("slow", *STEPS[step], delay_ms=300))
            run = await env.start("purchase", ORDER)
            await arrived(services, STEPS[step][1], after=before[0])
            await run.cancel()
            with pytest.raises(RunCancelled):
                await run.result()
            assert happened(services)[before[1] :] == done_and_undone(step + 1)
    assert violations(services.ledger()) == []


async def test_an_undo_that_fails_is_tried_again(env: PerdureEnvironment, services: PurchaseServices) -> None:
    services.faults.add(
        Fault("reject", "shipping", "ship"), Fault("unavailable", "payments", "refund", times=2)
    )
    failure = await fails(await env.start("purchase", ORDER))
    assert failure.details["compensation"] == "compensated"
    assert happened(services) == ["reserve", "charge", "refund", "release"]
    assert violations(services.ledger()) == []


async def test_a_refund_that_never_works_is_put_to_a_person_who_lets_it_try_again(
    env: PerdureEnvironment, services: PurchaseServices
) -> None:
    services.faults.add(
        Fault("reject", "shipping", "ship"), Fault("unavailable", "payments", "refund", times=None)
    )
    run = await env.start("purchase", ORDER)
    await env.advance(timedelta(hours=1))
    [pending] = await run.wait_for_approvals()
    assert (pending.value["effect"], "503" in pending.value["problem"]) == ("charge", True)
    assert happened(services) == ["reserve", "charge", "release"]
    services.faults.clear()
    await run.resume({pending.id: "retry"})
    failure = await fails(run)
    assert failure.details["compensation"] == "compensated"
    assert happened(services) == ["reserve", "charge", "release", "refund"]
    assert violations(services.ledger()) == []


async def test_what_a_person_closes_is_left_as_it_is_and_told(
    env: PerdureEnvironment, services: PurchaseServices
) -> None:
    services.faults.add(
        Fault("reject", "shipping", "ship"), Fault("reject", "payments", "refund", reason="too late")
    )
    run = await env.start("purchase", ORDER)
    await env.advance(timedelta(hours=1))
    [pending] = await run.wait_for_approvals()
    await run.resume({pending.id: {"type": "close", "reason": "paid back in cash"}})
    failure = await fails(run)
    assert failure.details["compensation"] == "compensation_incomplete"
    assert [closed["reason"] for closed in failure.details["closed"]] == ["paid back in cash"]
    assert keys_apply_once(services.ledger()) == []
    [problem] = violations(services.ledger())
    assert "9800 charged - 0 refunded" in problem


def scripted(monkeypatch: pytest.MonkeyPatch, *replies: Any) -> ScriptedChatModel:
    scripted = ScriptedChatModel(list(replies))
    monkeypatch.setattr(model, "chat_model", lambda: scripted)
    return scripted


RESERVE = {"tool": "reserve", "args": {"sku": "lamp", "quantity": 2}}


async def test_a_model_that_stops_before_the_goods_are_sent_fails_the_run(
    env: PerdureEnvironment, services: PurchaseServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, RESERVE, "I am sorry, it is not possible.")
    failure = await fails(await env.start("purchase", ORDER))
    assert failure.cause_type == NotShipped.__name__
    assert happened(services) == ["reserve", "release"]
    assert violations(services.ledger()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"tool": "reserve", "args": {"sku": "desk", "quantity": 20}},
        {"tool": "charge", "args": {"reservation": "res_1", "amount": 1, "currency": "EUR"}},
        {"tool": "ship", "args": {"reservation": "res_1", "charge": "ch_1"}},
        {"tool": "refund", "args": {}},
    ],
)
async def test_a_call_that_is_not_due_is_not_made(
    services: PurchaseServices, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    asked = scripted(monkeypatch, wrong, [RESERVE, RESERVE], "Done.")
    with pytest.raises(NotShipped):
        await graph.ainvoke(ORDER)
    assert happened(services) == ["reserve"]
    told = [message.text for message in asked.calls[-1].messages]
    assert any("What is due now is reserve" in text for text in told)
    assert any("One call at a time" in text for text in told)


async def test_a_model_that_never_gets_there_is_stopped(
    services: PurchaseServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = ScriptedChatModel([{"tool": "ship", "args": {}}], loop=True)
    monkeypatch.setattr(model, "chat_model", lambda: endless)
    with pytest.raises(NotShipped, match="10 turns"):
        await graph.ainvoke(ORDER)
    assert happened(services) == []
