"""`SupportAgent` on the time-skipping server, replayed at every workflow task, with a scripted model."""

import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from perdure import PerdurePlugin
from support import activities as real
from support import messages
from support.contract import Email, KBResult, LLMRequest, LLMResponse, SearchArgs, SupportInput, Ticket
from support.services import SupportServices
from support.workflows import SupportAgent

SAMPLE = SupportInput("ines@harbour-bakery.example", "You charged me twice.")


@pytest.fixture
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    path = shutil.which("temporal-test-server") or str(Path(sys.executable).parent / "temporal-test-server")
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=path) as environment:
        yield environment


@dataclass
class Outside:
    """The agent's outside world, as activities that keep a record."""

    answers: list[str]
    asked: list[LLMRequest] = field(default_factory=list)
    searched: list[SearchArgs] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    mails: list[Email] = field(default_factory=list)

    @activity.defn(name="call_llm")
    async def call_llm(self, request: LLMRequest) -> LLMResponse:
        self.asked.append(request)
        return LLMResponse(self.answers[len(self.asked) - 1], 10, 2)

    @activity.defn(name="search_kb")
    async def search_kb(self, args: SearchArgs) -> list[KBResult]:
        self.searched.append(args)
        return [KBResult("Charged twice", "https://help.corkline.example/x", "We refund duplicates.")]

    @activity.defn(name="create_ticket")
    async def create_ticket(self, ticket: Ticket) -> str:
        self.tickets.append(ticket)
        return f"desk-{ticket.id}"

    @activity.defn(name="send_email")
    async def send_email(self, email: Email) -> None:
        self.mails.append(email)

    @property
    def activities(self) -> list[Any]:
        return [self.call_llm, self.search_kb, self.create_ticket, self.send_email]


@asynccontextmanager
async def agent(
    environment: WorkflowEnvironment,
    activities: list[Any],
    *,
    sample: SupportInput = SAMPLE,
    signal: str | None = None,
) -> AsyncIterator[WorkflowHandle[SupportAgent, str]]:
    client: Client = environment.client
    queue = f"support-{uuid.uuid4()}"
    handle = await client.start_workflow(
        SupportAgent.run,
        sample,
        id=queue,
        task_queue=queue,
        start_signal="human_decision" if signal else None,
        start_signal_args=[signal] if signal else [],
    )
    async with Worker(
        client,
        task_queue=queue,
        workflows=[SupportAgent],
        activities=activities,
        plugins=[PerdurePlugin()],
        max_cached_workflows=0,
    ):
        yield handle
    history = await handle.fetch_history()
    await Replayer(workflows=[SupportAgent], plugins=[PerdurePlugin()]).replay_workflow(history)


async def draft_of(environment: WorkflowEnvironment, handle: WorkflowHandle[SupportAgent, str]) -> str:
    """Wait, without letting the clock jump past the deadline, until a draft is there."""
    for _ in range(200):
        try:
            draft = await handle.query(SupportAgent.draft)
        except RPCError:
            draft = None
        if draft is not None:
            return draft
        await environment.sleep(timedelta(milliseconds=100))
    raise AssertionError("no draft came")


async def test_an_approved_draft_is_mailed(environment: WorkflowEnvironment) -> None:
    outside = Outside(["billing", "Dear Ines"])
    async with agent(environment, outside.activities) as handle:
        assert await draft_of(environment, handle) == "Dear Ines"
        assert outside.mails == []
        await handle.signal(SupportAgent.human_decision, "approve")
        assert await handle.result() == "sent"
    assert outside.mails == [Email(SAMPLE.customer_email, "Re: your request", "Dear Ines")]
    assert outside.searched == [SearchArgs(SAMPLE.message, 5)]
    assert outside.tickets == []
    assert "We refund duplicates." in outside.asked[1].user


async def test_a_rejected_draft_is_not_mailed(environment: WorkflowEnvironment) -> None:
    outside = Outside(["  Account.\n", "Dear Ines"])
    async with agent(environment, outside.activities) as handle:
        await draft_of(environment, handle)
        await handle.signal(SupportAgent.human_decision, "reject")
        await handle.signal(SupportAgent.human_decision, "approve")
        assert await handle.result() == "rejected"
    assert outside.mails == []


async def test_an_edited_draft_is_mailed_instead(environment: WorkflowEnvironment) -> None:
    outside = Outside(["faq", "Dear Ines"])
    async with agent(environment, outside.activities) as handle:
        await draft_of(environment, handle)
        await handle.signal(SupportAgent.human_edit, "My own words.")
        assert await handle.result() == "sent"
    assert [mail.body for mail in outside.mails] == ["My own words."]


@pytest.mark.parametrize(("decision", "result"), [("approve", "sent"), ("reject", "rejected")])
async def test_a_decision_that_comes_before_the_draft_counts(
    environment: WorkflowEnvironment, decision: str, result: str
) -> None:
    outside = Outside(["billing", "Dear Ines"])
    async with agent(environment, outside.activities, signal=decision) as handle:
        assert await handle.result() == result


async def test_a_draft_that_nobody_decides_on_becomes_a_ticket(environment: WorkflowEnvironment) -> None:
    outside = Outside(["billing", "Dear Ines"])
    async with agent(environment, outside.activities, signal="maybe") as handle:
        result = await handle.result()
        description = await handle.describe()
    [ticket] = outside.tickets
    assert result == f"expired:desk-{ticket.id}"
    assert "Dear Ines" in ticket.body
    assert outside.mails == []
    assert description.close_time
    assert description.close_time - description.start_time >= timedelta(hours=24)


async def test_a_threat_becomes_a_ticket_at_once(environment: WorkflowEnvironment) -> None:
    outside = Outside(["ESCALATE."])
    async with agent(environment, outside.activities) as handle:
        result = await handle.result()
    [ticket] = outside.tickets
    assert result == f"escalated:desk-{ticket.id}"
    assert ticket.email == SAMPLE.customer_email


async def test_three_bad_classifications_escalate(environment: WorkflowEnvironment) -> None:
    outside = Outside(["sales", "dunno", "money"])
    async with agent(environment, outside.activities) as handle:
        result = await handle.result()
    assert result == f"escalated:desk-{outside.tickets[0].id}"
    assert len(outside.asked) == 3


async def test_a_model_that_fails_for_a_while_is_asked_again(environment: WorkflowEnvironment) -> None:
    outside = Outside(["billing", "Dear Ines"])

    @activity.defn(name="call_llm")
    async def call_llm(request: LLMRequest) -> LLMResponse:
        if activity.info().attempt < 3:
            raise ConnectionError("overloaded")
        return await outside.call_llm(request)

    others = [one for one in outside.activities if one.__name__ != "call_llm"]
    async with agent(environment, [call_llm, *others], signal="approve") as handle:
        assert await handle.result() == "sent"
    assert len(outside.asked) == 2


async def test_the_real_tools_finish_the_case(
    environment: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = [real.call_llm, real.search_kb, real.create_ticket, real.send_email]
    async with SupportServices(tmp_path / "data") as services:
        monkeypatch.delenv("PERDURE_MODEL", raising=False)
        for name, value in services.env.items():
            monkeypatch.setenv(name, value)
        async with agent(environment, tools, sample=messages.DUPLICATE_CHARGE, signal="approve") as handle:
            assert await handle.result() == "sent"
        async with agent(environment, tools, sample=messages.LEGAL_THREAT) as handle:
            assert await handle.result() == f"escalated:{services.tickets()[0]['id']}"
        assert [mail["To"] for mail in services.mails()] == [messages.DUPLICATE_CHARGE.customer_email]


async def test_a_refusal_is_not_tried_again(
    environment: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = Outside(["billing", "Dear nobody"])
    others = [one for one in outside.activities if one.__name__ != "send_email"]
    sample = SupportInput("nobody", "hello")
    async with SupportServices(tmp_path / "data") as services:
        for name, value in services.env.items():
            monkeypatch.setenv(name, value)
        async with agent(environment, [real.send_email, *others], sample=sample, signal="approve") as handle:
            with pytest.raises(WorkflowFailureError) as caught:
                await handle.result()
            history = await handle.fetch_history()
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    assert isinstance(cause, ApplicationError)
    assert cause.type == "Refused"
    attempts = [event.activity_task_started_event_attributes.attempt for event in history.events]
    assert max(attempts) == 1
