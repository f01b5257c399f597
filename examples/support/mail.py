"""The mail: sending a reply over SMTP, and an embedded server that keeps what it receives in a Maildir.

`deliver` works with any SMTP server in the settings. Its Message-ID is derived from the idempotency key, so a
mail that was sent twice (the answer of the first attempt was lost) can be recognised by whoever receives it.
Does not guarantee a single delivery: SMTP has no way to promise that. The server stores all that it gets.

    python -m support.mail --port 1025 --maildir .support/mail
"""

import argparse
import asyncio
import email.policy
import mailbox
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import formatdate
from pathlib import Path
from typing import Self, cast

import aiosmtplib
from aiosmtpd.smtp import SMTP, Envelope, Session

from support.contract import Email
from support.errors import Refused, Unavailable
from support.settings import Settings

__all__ = ["MailServer", "deliver"]

_HOST = "127.0.0.1"
_TIMEOUT_SECONDS = 15


async def deliver(mail: Email, settings: Settings, *, key: str) -> None:
    """Send one mail; the same `key` gives the same Message-ID.

    Raises:
        Refused: the address is unusable, or the server refuses the mail for good.
        Unavailable: the server is down, slow, or refuses the mail for now.
    """
    server = f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        await aiosmtplib.send(
            _message(mail, settings.mail_sender, key),
            sender=settings.mail_sender,
            recipients=[mail.to],
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=settings.smtp_password,
            use_tls=settings.smtp_port == 465,
            timeout=_TIMEOUT_SECONDS,
        )
    except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as error:
        raise _refusal(error, mail, server) from error
    except aiosmtplib.SMTPNotSupported as error:
        raise Refused(f"mail server {server} cannot take this mail to {mail.to!r}: {error}") from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Unavailable(
            f"mail server {server} does not answer ({str(error) or type(error).__name__}); start it with"
            " `python -m support.services`, or set SUPPORT_SMTP_HOST and SUPPORT_SMTP_PORT"
        ) from error


def _message(mail: Email, sender: str, key: str) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    try:
        message["From"] = sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
        addresses = message["To"].addresses
    except (ValueError, IndexError) as error:  # IndexError: CPython's parser, for an address like "a@"
        raise Refused(f"mail to {mail.to!r} cannot be written: {error}; correct the address") from error
    if len(addresses) != 1 or not addresses[0].domain:
        raise Refused(f"{mail.to!r} is not a mail address; correct it in the request")
    message["Message-ID"] = f"<{key}@{sender.rpartition('@')[2]}>"
    message["Date"] = formatdate()
    message.set_content(mail.body)
    return message


def _refusal(
    error: aiosmtplib.SMTPRecipientsRefused | aiosmtplib.SMTPResponseException, mail: Email, server: str
) -> Refused | Unavailable:
    """SMTP says with the code whether to come back: 4xx is for now, 5xx is for good."""
    first = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
    said = f"mail server {server} refuses the mail to {mail.to!r}: {first.code} {first.message}"
    if first.code < 500:
        return Unavailable(f"{said}; try again later")
    return Refused(f"{said}; correct the address, or the SUPPORT_SMTP_ and SUPPORT_MAIL_ settings")


class MailServer:
    """An SMTP server on loopback. Use it as an async context manager; `port` 0 takes a free one."""

    def __init__(self, maildir: Path, *, port: int = 0) -> None:
        self.maildir = maildir
        self.port = port
        self._box = mailbox.Maildir(maildir)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="localhost", enable_SMTPUTF8=True, loop=loop), _HOST, self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    # The name is the hook that aiosmtpd looks for.
    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the mail, then say so: an answer of 250 means that it is on the disk."""
        self._box.add(cast(bytes, envelope.content).replace(b"\r\n", b"\n"))
        return "250 OK"

    def mails(self) -> list[EmailMessage]:
        """Every mail received, oldest first."""
        files = sorted((self.maildir / "new").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        parser = BytesParser(policy=email.policy.default)
        return [parser.parsebytes(path.read_bytes()) for path in files]


async def _serve(maildir: Path, port: int) -> None:
    async with MailServer(maildir, port=port) as server:
        print(f"mail server on {_HOST}:{server.port}, mails in {maildir / 'new'}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Run the mail server until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m support.mail", description=__doc__)
    parser.add_argument("--port", type=int, default=1025)
    parser.add_argument("--maildir", type=Path, default=Path(".support/mail"))
    options = parser.parse_args()
    options.maildir.parent.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(_serve(options.maildir, options.port))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise SystemExit(
            f"cannot listen on {_HOST}:{options.port} ({error.strerror}); choose another --port"
        ) from error


if __name__ == "__main__":
    main()
