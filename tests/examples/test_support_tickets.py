import asyncio
import socket
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import pytest

from support.contract import Ticket
from support.errors import Refused, Unavailable
from support.settings import Settings
from support.tickets import TicketDesk, open_ticket

TICKET = Ticket(id="T-1", title="Escalated: help", body="Message:\nhelp", email="a@b.example")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[TicketDesk]:
    with TicketDesk(tmp_path / "tickets.sqlite") as desk:
        yield desk


def post(desk: TicketDesk, ticket: object, key: str | None = "k") -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return httpx.post(f"{desk.url}/tickets", json=ticket, headers=headers, trust_env=False)


def test_a_repeated_key_is_the_same_ticket(desk: TicketDesk) -> None:
    first, second = post(desk, asdict(TICKET)), post(desk, asdict(TICKET))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json() == asdict(TICKET)
    assert desk.tickets() == [asdict(TICKET)]


def test_a_key_with_another_body_is_a_conflict(desk: TicketDesk) -> None:
    post(desk, asdict(TICKET))
    assert post(desk, asdict(replace(TICKET, body="other"))).status_code == 409
    assert post(desk, asdict(TICKET), key="another").status_code == 409
    assert desk.tickets() == [asdict(TICKET)]


def test_tickets_are_listed_in_order_and_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "tickets.sqlite"
    with TicketDesk(path) as desk:
        post(desk, asdict(replace(TICKET, id="T-2")), key="2")
        post(desk, asdict(TICKET), key="1")
    with TicketDesk(path) as desk:
        listed = httpx.get(f"{desk.url}/tickets", trust_env=False).json()
    assert [ticket["id"] for ticket in listed] == ["T-2", "T-1"]


@pytest.mark.parametrize("body", [[], {}, {"id": 1, "title": "", "body": "", "email": ""}, "text"])
def test_a_body_that_is_no_ticket_is_a_bad_request(desk: TicketDesk, body: object) -> None:
    assert post(desk, body).status_code == 400


def test_a_request_without_key_or_with_broken_json_is_a_bad_request(desk: TicketDesk) -> None:
    assert post(desk, asdict(TICKET), key=None).status_code == 400
    broken = httpx.post(
        f"{desk.url}/tickets", content=b"{", headers={"Idempotency-Key": "k"}, trust_env=False
    )
    assert broken.status_code == 400
    assert httpx.get(f"{desk.url}/", trust_env=False).status_code == 404


async def test_opening_a_ticket_twice_at_once_makes_one(desk: TicketDesk) -> None:
    settings = Settings(tickets_url=desk.url)
    ids = await asyncio.gather(*(open_ticket(TICKET, settings) for _ in range(8)))
    assert set(ids) == {"T-1"}
    assert len(desk.tickets()) == 1


async def test_a_conflict_is_refused_for_good(desk: TicketDesk) -> None:
    settings = Settings(tickets_url=desk.url)
    await open_ticket(TICKET, settings)
    with pytest.raises(Refused, match=r"answered 409 for 'T-1'"):
        await open_ticket(replace(TICKET, body="other"), settings)


async def test_a_desk_that_is_down_is_named_with_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unavailable) as caught:
        await open_ticket(TICKET, Settings(tickets_url=f"http://127.0.0.1:{port}"))
    assert f"http://127.0.0.1:{port}/tickets does not answer" in str(caught.value)
    assert "SUPPORT_TICKETS_URL" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(Refused, match="SUPPORT_TICKETS_URL"):
        await open_ticket(TICKET, Settings(tickets_url="127.0.0.1:8026"))
