import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from support.contract import Email
from support.errors import Refused, Unavailable
from support.mail import MailServer, deliver
from support.services import SupportServices
from support.settings import Settings

MAIL = Email(
    to="Ines <ines@harbour-bakery.example>", subject="Re: your request", body="Grüße,\nline two\n.\n"
)
EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_a_mail_arrives_as_it_was_written(tmp_path: Path) -> None:
    async with MailServer(tmp_path / "mail") as server:
        await deliver(MAIL, Settings(smtp_port=server.port), key="abc")
        [mail] = server.mails()
    assert mail["To"] == MAIL.to
    assert mail["From"] == "support@corkline.example"
    assert mail["Subject"] == MAIL.subject
    assert mail["Message-ID"] == "<abc@corkline.example>"
    assert mail.get_content() == MAIL.body


async def test_a_duplicate_is_stored_and_recognisable(tmp_path: Path) -> None:
    async with MailServer(tmp_path / "mail") as server:
        for key in ("abc", "abc", "xyz"):
            await deliver(MAIL, Settings(smtp_port=server.port), key=key)
        ids = [mail["Message-ID"] for mail in server.mails()]
    assert ids == ["<abc@corkline.example>", "<abc@corkline.example>", "<xyz@corkline.example>"]


class _Refusing:
    def __init__(self, hook: str, answer: str) -> None:
        setattr(self, hook, self._answer)
        self._text = answer

    async def _answer(self, *_: Any) -> str:
        return self._text


@asynccontextmanager
async def refusing(hook: str, answer: str) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(_Refusing(hook, answer), hostname="localhost", loop=loop), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("hook", ["handle_MAIL", "handle_RCPT", "handle_DATA"])
async def test_a_server_that_says_550_refuses_for_good(hook: str) -> None:
    async with refusing(hook, "550 no such user") as port:
        with pytest.raises(Refused) as caught:
            await deliver(MAIL, Settings(smtp_port=port), key="abc")
    assert f"127.0.0.1:{port} refuses the mail" in str(caught.value)
    assert "550 no such user" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hook", ["handle_RCPT", "handle_DATA"])
async def test_a_server_that_says_451_may_be_asked_again(hook: str) -> None:
    async with refusing(hook, "451 busy") as port:
        with pytest.raises(Unavailable, match="451 busy"):
            await deliver(MAIL, Settings(smtp_port=port), key="abc")


async def test_a_server_that_is_down_is_named_with_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unavailable) as caught:
        await deliver(MAIL, Settings(smtp_port=port), key="abc")
    assert f"mail server 127.0.0.1:{port} does not answer" in str(caught.value)
    assert "SUPPORT_SMTP_PORT" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "to", ["", "nobody", "a@b.example, c@d.example", "a@b.example\nBcc: x@y.example", "a@"]
)
async def test_an_address_that_is_none_is_refused(tmp_path: Path, to: str) -> None:
    async with MailServer(tmp_path / "mail") as server:
        with pytest.raises(Refused, match="correct"):
            await deliver(Email(to, "s", "b"), Settings(smtp_port=server.port), key="abc")
        assert server.mails() == []


async def test_an_international_address_is_delivered(tmp_path: Path) -> None:
    async with MailServer(tmp_path / "mail") as server:
        await deliver(Email("jürgen@grün.example", "s", "b"), Settings(smtp_port=server.port), key="abc")
        [mail] = server.mails()
    assert mail["To"] == "jürgen@grün.example"


def test_a_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(Refused, match="SUPPORT_SMTP_PORT is 'smtp'"):
        Settings.from_env({"SUPPORT_SMTP_PORT": "smtp"})


async def test_the_services_point_the_agent_at_themselves(tmp_path: Path) -> None:
    async with SupportServices(tmp_path / "data") as services:
        settings = Settings.from_env(services.env)
        await deliver(MAIL, settings, key="abc")
        assert settings.tickets_url == services.tickets_url
        assert len(services.mails()) == 1
        assert services.tickets() == []


@pytest.mark.parametrize("end", ["stdin", "SIGTERM"])
def test_the_services_process_ends_when_told(tmp_path: Path, end: str) -> None:
    command = [sys.executable, "-m", "support.services", "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(
        command, cwd=EXAMPLES, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        ready = json.loads(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", ready["smtp_port"])):
            pass
        if end == "stdin":
            process.stdin.close()
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr.read() == b""
    assert ready["env"]["SUPPORT_TICKETS_URL"] == ready["tickets_url"]
