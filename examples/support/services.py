"""The two services that the agent needs, started together on loopback: the ticket desk and the mail server.

As a process of its own it outlives the agent's worker, and so is the truth about what the agent did:

    python -m support.services --data-dir .support --smtp-port 1025 --tickets-port 8026

The first line of its output is a JSON object with `smtp_port`, `tickets_url`, `data_dir` and `env`, the variables
that point the agent here. It ends at SIGTERM, at Ctrl-C, or when its standard input, unless that is a terminal, is closed.
"""

import argparse
import asyncio
import json
import os
import signal
import threading
from email.message import EmailMessage
from pathlib import Path
from typing import Self

from support.mail import MailServer
from support.settings import Settings
from support.tickets import TicketDesk

__all__ = ["SupportServices"]


class SupportServices:
    """The ticket desk and the mail server over one folder. Port 0 takes a free one."""

    def __init__(self, data_dir: Path, *, smtp_port: int = 0, tickets_port: int = 0) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self._desk = TicketDesk(data_dir / "tickets.sqlite", port=tickets_port)
        self._mail = MailServer(data_dir / "mail", port=smtp_port)

    async def __aenter__(self) -> Self:
        self._desk.__enter__()
        try:
            await self._mail.__aenter__()
        except OSError:
            await asyncio.to_thread(self._desk.__exit__)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._mail.__aexit__()
        await asyncio.to_thread(self._desk.__exit__)

    @property
    def smtp_port(self) -> int:
        return self._mail.port

    @property
    def tickets_url(self) -> str:
        return self._desk.url

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that point the agent at these services."""
        return {
            "SUPPORT_SMTP_HOST": "127.0.0.1",
            "SUPPORT_SMTP_PORT": str(self.smtp_port),
            "SUPPORT_TICKETS_URL": self.tickets_url,
            "SUPPORT_DATA_DIR": str(self.data_dir),
        }

    def mails(self) -> list[EmailMessage]:
        """Every mail received, oldest first."""
        return self._mail.mails()

    def tickets(self) -> list[dict[str, str]]:
        """Every ticket, oldest first, as `id`, `title`, `body` and `email`."""
        return self._desk.tickets()


async def _serve(services: SupportServices) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # A parent process holds the other end: when it dies, however it dies, it closes. A terminal has Ctrl-C, and would
    # stop a process that reads from it in the background.
    if not os.isatty(0):
        threading.Thread(target=_wait_for_eof, args=(loop, stop), daemon=True).start()
    async with services:
        ready = {"smtp_port": services.smtp_port, "tickets_url": services.tickets_url}
        print(json.dumps({**ready, "data_dir": str(services.data_dir), "env": services.env}), flush=True)
        await stop.wait()


def _wait_for_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


def main() -> None:
    """Run both services until they are told to stop."""
    parser = argparse.ArgumentParser(prog="python -m support.services", description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Settings.from_env().data_dir)
    parser.add_argument("--smtp-port", type=int, default=0)
    parser.add_argument("--tickets-port", type=int, default=0)
    options = parser.parse_args()
    try:
        asyncio.run(
            _serve(
                SupportServices(
                    options.data_dir, smtp_port=options.smtp_port, tickets_port=options.tickets_port
                )
            )
        )
    except OSError as error:
        raise SystemExit(
            f"cannot start the services ({error}); choose other ports or another folder"
        ) from error


if __name__ == "__main__":
    main()
