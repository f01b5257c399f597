"""Where the agent finds its model and its services. Read from the environment at each use, kept nowhere."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from support.errors import Refused

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The defaults fit `python -m support.services --smtp-port 1025 --tickets-port 8026`."""

    model: str | None = None
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 1025
    smtp_username: str | None = None
    smtp_password: str | None = None
    mail_sender: str = "support@corkline.example"
    tickets_url: str = "http://127.0.0.1:8026"
    data_dir: Path = Path(".support")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from `environ` (default: the process's own). An empty variable counts as unset.

        Raises:
            Refused: SUPPORT_SMTP_PORT is not a port number.
        """
        env = {name: value for name, value in (environ or os.environ).items() if value}
        return cls(
            model=env.get("PERDURE_MODEL"),
            smtp_host=env.get("SUPPORT_SMTP_HOST", cls.smtp_host),
            smtp_port=_port(env.get("SUPPORT_SMTP_PORT", str(cls.smtp_port))),
            smtp_username=env.get("SUPPORT_SMTP_USERNAME"),
            smtp_password=env.get("SUPPORT_SMTP_PASSWORD"),
            mail_sender=env.get("SUPPORT_MAIL_SENDER", cls.mail_sender),
            tickets_url=env.get("SUPPORT_TICKETS_URL", cls.tickets_url).rstrip("/"),
            data_dir=Path(env.get("SUPPORT_DATA_DIR", str(cls.data_dir))),
        )


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise Refused(f"SUPPORT_SMTP_PORT is {text!r}; set it to a port number from 1 to 65535")
    return int(text)
