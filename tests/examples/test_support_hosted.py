"""The hosted form on the time-skipping server, replayed at every workflow task; real mail, tickets and articles."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perdure.client import RunHandle
from perdure.testing import PerdureEnvironment
from support import messages, tools
from support.contract import LLMRequest, LLMResponse, SupportInput
from support.graph import graph
from support.services import SupportServices


@pytest.fixture
async def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SupportServices]:
    async with SupportServices(tmp_path / "data") as services:
        monkeypatch.delenv("PERDURE_MODEL", raising=False)
        for name, value in services.env.items():
            monkeypatch.setenv(name, value)
        yield services


@pytest.fixture
async def env(services: SupportServices) -> AsyncIterator[PerdureEnvironment]:
    async with PerdureEnvironment.start({"support": graph}) as env:
        yield env


async def start(env: PerdureEnvironment, sample: SupportInput) -> RunHandle:
    return await env.start("support", {"customer_email": sample.customer_email, "message": sample.message})


async def calls(run: RunHandle) -> list[str]:
    """The nodes that were called, in order, as the history tells it."""
    events = [event async for event in run.handle.fetch_history_events()]
    scheduled = [event.activity_task_scheduled_event_attributes.activity_id for event in events]
    return [name.rpartition(":")[0] for name in scheduled if name]


async def test_an_approved_draft_is_mailed_once(env: PerdureEnvironment, services: SupportServices) -> None:
    run = await start(env, messages.DUPLICATE_CHARGE)
    [pending] = await run.wait_for_approvals()
    assert services.mails() == []
    await run.resume({pending.id: "approve"})
    assert (await run.result())["result"] == "sent"
    [mail] = services.mails()
    assert mail["To"] == messages.DUPLICATE_CHARGE.customer_email
    assert mail.get_content().strip() == pending.value["draft"]
    assert services.tickets() == []
    assert await calls(run) == ["search", "classify", "draft", "decide", "decide", "send"]


async def test_an_edited_draft_is_mailed_instead(env: PerdureEnvironment, services: SupportServices) -> None:
    run = await start(env, messages.LOST_PASSWORD)
    [pending] = await run.wait_for_approvals()
    await run.resume({pending.id: {"type": "edit", "draft": "My own words."}})
    assert (await run.result())["result"] == "sent"
    [mail] = services.mails()
    assert mail.get_content().strip() == "My own words."


async def test_a_rejected_draft_leaves_nothing(env: PerdureEnvironment, services: SupportServices) -> None:
    run = await start(env, messages.EXPORT_QUESTION)
    [pending] = await run.wait_for_approvals()
    await run.resume({pending.id: {"type": "reject"}})
    assert (await run.result())["result"] == "rejected"
    assert services.mails() == services.tickets() == []


async def test_a_draft_that_nobody_decides_on_becomes_a_ticket_after_a_day(
    env: PerdureEnvironment, services: SupportServices
) -> None:
    run = await start(env, messages.DUPLICATE_CHARGE)
    [pending] = await run.wait_for_approvals()
    await env.advance(timedelta(hours=23))
    assert [item.id for item in (await run.state()).interrupts] == [pending.id]
    await env.advance(timedelta(hours=2))
    result = (await run.result())["result"]
    [ticket] = services.tickets()
    assert result == f"expired:{ticket['id']}"
    assert pending.value["draft"] in ticket["body"]
    assert services.mails() == []


async def test_a_threat_becomes_a_ticket_at_once(env: PerdureEnvironment, services: SupportServices) -> None:
    run = await start(env, messages.LEGAL_THREAT)
    assert await run.wait_for_approvals() == []
    result = (await run.result())["result"]
    [ticket] = services.tickets()
    assert result == f"escalated:{ticket['id']}"
    assert messages.LEGAL_THREAT.message in ticket["body"]
    assert services.mails() == []


async def test_three_bad_classifications_escalate(
    env: PerdureEnvironment, services: SupportServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[LLMRequest] = []

    async def complete(request: LLMRequest) -> LLMResponse:
        asked.append(request)
        return LLMResponse(("sales", "dunno", "money")[len(asked) - 1], 1, 1)

    monkeypatch.setattr(tools, "complete", complete)
    run = await start(env, messages.DUPLICATE_CHARGE)
    result = (await run.result())["result"]
    [ticket] = services.tickets()
    assert result == f"escalated:{ticket['id']}"
    assert "money" in ticket["body"]
    assert await calls(run) == ["search", "classify", "classify", "classify", "ticket"]


@pytest.mark.parametrize("nonsense", ["aprove", {"type": "edit", "draft": " "}, None])
async def test_a_decision_that_makes_no_sense_is_put_back(
    env: PerdureEnvironment, services: SupportServices, nonsense: Any
) -> None:
    run = await start(env, messages.DUPLICATE_CHARGE)
    [first] = await run.wait_for_approvals()
    await run.resume({first.id: nonsense})
    [again] = await run.wait_for_approvals()
    while again.id == first.id:
        [again] = await run.wait_for_approvals()
    assert "Answer" in again.value["problem"]
    await run.resume({again.id: "reject"})
    assert (await run.result())["result"] == "rejected"
    assert services.mails() == []
