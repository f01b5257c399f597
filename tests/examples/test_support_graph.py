import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command

from support import graph as agent
from support import messages, tools
from support.case import Case
from support.contract import KBResult, LLMRequest, LLMResponse, SupportInput
from support.outbox import handover_ticket
from support.services import SupportServices

EXAMPLE = Path(agent.__file__).parent


@pytest.fixture
async def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SupportServices]:
    async with SupportServices(tmp_path / "data") as services:
        monkeypatch.delenv("PERDURE_MODEL", raising=False)
        for name, value in services.env.items():
            monkeypatch.setenv(name, value)
        yield services


class Talk:
    """One thread of the graph under plain LangGraph."""

    def __init__(self, thread_id: str = "t1") -> None:
        # LangGraph asks for the state's own types by name; what isn't named is not restored.
        serde = JsonPlusSerializer(allowed_msgpack_modules=[KBResult])
        self._graph = agent.graph.builder.compile(checkpointer=InMemorySaver(serde=serde))
        self._config: RunnableConfig = {"configurable": {"thread_id": thread_id}}

    async def say(self, sample: SupportInput) -> dict[str, Any]:
        request = {"customer_email": sample.customer_email, "message": sample.message}
        return await self._graph.ainvoke(request, self._config)

    async def state(self) -> dict[str, Any]:
        return (await self._graph.aget_state(self._config)).values

    async def decide(self, answer: Any) -> dict[str, Any]:
        return await self._graph.ainvoke(Command(resume=answer), self._config)


@pytest.mark.parametrize("answer", ["approve", {"type": "approve"}])
async def test_an_approved_draft_is_mailed(services: SupportServices, answer: Any) -> None:
    talk = Talk()
    waiting = await talk.say(messages.DUPLICATE_CHARGE)
    [pending] = waiting["__interrupt__"]
    assert pending.value["expires_in"] == 24 * 60 * 60
    assert pending.value["on_expiry"] == {"type": "expired"}
    assert pending.value["to"] == messages.DUPLICATE_CHARGE.customer_email
    assert pending.value["draft"] == waiting["draft"]
    assert services.mails() == []

    assert (await talk.decide(answer))["result"] == "sent"
    [mail] = services.mails()
    assert mail["Subject"] == "Re: your request"
    assert mail["To"] == messages.DUPLICATE_CHARGE.customer_email
    assert mail.get_content().strip() == waiting["draft"]
    assert services.tickets() == []


async def test_an_edited_draft_is_mailed_instead(services: SupportServices) -> None:
    talk = Talk()
    await talk.say(messages.LOST_PASSWORD)
    assert (await talk.decide({"type": "edit", "draft": "My own words."}))["result"] == "sent"
    [mail] = services.mails()
    assert mail.get_content().strip() == "My own words."


@pytest.mark.parametrize("answer", ["reject", {"type": "reject"}])
async def test_a_rejected_draft_is_not_mailed(services: SupportServices, answer: Any) -> None:
    talk = Talk()
    await talk.say(messages.EXPORT_QUESTION)
    assert (await talk.decide(answer))["result"] == "rejected"
    assert services.mails() == []
    assert services.tickets() == []


async def test_a_draft_that_nobody_decides_on_becomes_a_ticket(services: SupportServices) -> None:
    talk = Talk()
    waiting = await talk.say(messages.DUPLICATE_CHARGE)
    result = (await talk.decide(waiting["__interrupt__"][0].value["on_expiry"]))["result"]
    [ticket] = services.tickets()
    assert result == f"expired:{ticket['id']}"
    assert ticket["email"] == messages.DUPLICATE_CHARGE.customer_email
    assert waiting["draft"] in ticket["body"]
    assert services.mails() == []


async def test_a_threat_becomes_a_ticket_at_once(services: SupportServices) -> None:
    result = await Talk().say(messages.LEGAL_THREAT)
    [ticket] = services.tickets()
    assert "__interrupt__" not in result
    assert result["result"] == f"escalated:{ticket['id']}"
    assert messages.LEGAL_THREAT.message in ticket["body"]


def answers(monkeypatch: pytest.MonkeyPatch, *texts: str) -> list[LLMRequest]:
    """Let the model give these answers in turn; returns what it is asked."""
    asked: list[LLMRequest] = []

    async def complete(request: LLMRequest) -> LLMResponse:
        asked.append(request)
        return LLMResponse(texts[len(asked) - 1], 1, 1)

    monkeypatch.setattr(tools, "complete", complete)
    return asked


async def test_three_bad_classifications_escalate(
    services: SupportServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(monkeypatch, "sales", "dunno", "money")
    result = (await Talk().say(messages.DUPLICATE_CHARGE))["result"]
    [ticket] = services.tickets()
    assert result == f"escalated:{ticket['id']}"
    assert "money" in ticket["body"]
    assert ["sales" in request.user for request in asked] == [False, True, False]


async def test_a_third_classification_that_fits_counts(
    services: SupportServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, "sales", "dunno", " Billing. ", "Dear Ines")
    assert (await Talk().say(messages.DUPLICATE_CHARGE))["draft"] == "Dear Ines"


@pytest.mark.parametrize("answer", ["aprove", {"type": "edit", "draft": "  "}, {"type": "edit"}, 7, None, []])
async def test_a_decision_that_makes_no_sense_is_put_back(services: SupportServices, answer: Any) -> None:
    talk = Talk()
    await talk.say(messages.DUPLICATE_CHARGE)
    [pending] = (await talk.decide({"maybe": answer}))["__interrupt__"]
    assert "Answer" in pending.value["problem"]
    assert (await talk.decide("reject"))["result"] == "rejected"


async def test_a_thread_serves_a_second_request_afresh(
    services: SupportServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, "x", "x", "x", "billing", "Dear Ines")
    talk = Talk()
    await talk.say(messages.LEGAL_THREAT)
    await talk.say(messages.DUPLICATE_CHARGE)
    assert (await talk.decide("approve"))["result"] == "sent"


async def test_the_same_thread_and_request_is_the_same_ticket(services: SupportServices) -> None:
    first, again, other = [
        (await Talk(thread).say(messages.LEGAL_THREAT))["result"] for thread in ("t1", "t1", "t2")
    ]
    assert first == again != other
    assert len(services.tickets()) == 2


def test_a_ticket_id_is_the_same_in_every_process() -> None:
    case = Case(
        customer_email="a@b.example", message="Help\n" * 50, entries=[], asks=1, answer="escalate",
        category="escalate", draft="", decision=None, result=None,
    )  # fmt: skip
    ticket = handover_ticket(case, run_id="w1")
    code = f"from support.outbox import handover_ticket as h\nprint(h({dict(case)!r}, run_id='w1').id)"
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=EXAMPLE.parent, env={"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert run.stdout.strip() == ticket.id
    assert len(ticket.title) < 80
    assert "\n" not in ticket.title


def test_the_project_file_names_a_graph_that_needs_no_perdure() -> None:
    project = json.loads((EXAMPLE / "langgraph.json").read_text())
    path, name = project["graphs"]["support"].split(":")
    assert getattr(agent, name).name == "support"
    assert (EXAMPLE / path).samefile(agent.__file__)
    code = (
        "import sys, support.graph; print([name for name in sys.modules if name.split('.')[0] == 'perdure'])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=EXAMPLE.parent, capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


async def test_the_state_is_restored_from_a_checkpoint_with_its_types(
    services: SupportServices,
) -> None:
    talk = Talk()
    waiting = await talk.say(messages.DUPLICATE_CHARGE)
    entries = (await talk.state())["entries"]
    assert entries == waiting["entries"] != []
    assert all(type(entry) is KBResult for entry in entries)
