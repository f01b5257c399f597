"""The tickets: asking the ticket desk for one, and the desk, a small HTTP service over a SQLite file.

The desk honours `Idempotency-Key`, as payment providers do:

    POST /tickets   new key                      201, the ticket
                    same key, same body          200, the same ticket
                    same key, another body       409
                    another key, the same id     409
    GET  /tickets                                200, all tickets, oldest first

    python -m support.tickets --port 8026 --db .support/tickets.sqlite
"""

import argparse
import json
import sqlite3
import threading
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx

from support.contract import Ticket
from support.errors import Refused, Unavailable
from support.settings import Settings

__all__ = ["TicketDesk", "open_ticket"]

_HOST = "127.0.0.1"
_TIMEOUT_SECONDS = 10
_MAX_BODY_BYTES = 1_000_000
_FIELDS = ("id", "title", "body", "email")


async def open_ticket(ticket: Ticket, settings: Settings) -> str:
    """Open a ticket, or find the one that an earlier attempt opened; the answer is the ticket's id.

    Raises:
        Refused: the desk understood and said no; 409 means that the id belongs to another ticket.
        Unavailable: the desk is down, slow or overloaded.
    """
    url = f"{settings.tickets_url}/tickets"
    try:
        # No proxy from the environment: the desk is a service next door.
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            response = await client.post(url, json=asdict(ticket), headers={"Idempotency-Key": ticket.id})
            response.raise_for_status()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        said = f"ticket desk {url} answered {status} for {ticket.id!r}: {error.response.text[:200].strip()}"
        if status >= 500 or status in (408, 429):
            raise Unavailable(said) from error
        raise Refused(said) from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise Refused(f"SUPPORT_TICKETS_URL gives {url!r}: {error}; write http://host:port") from error
    except httpx.TransportError as error:
        raise Unavailable(
            f"ticket desk {url} does not answer ({str(error) or type(error).__name__}); start it with"
            " `python -m support.services`, or set SUPPORT_TICKETS_URL"
        ) from error
    return str(response.json()["id"])


class _Store:
    """The tickets in SQLite. Several threads and processes may use the same file."""

    def __init__(self, database: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(database, check_same_thread=False)
        with self._db:
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS ticket (number INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL,"
                " id TEXT UNIQUE NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL, email TEXT NOT NULL)"
            )

    def add(self, key: str, ticket: dict[str, str]) -> HTTPStatus:
        """One transaction decides: two requests with one key make one ticket."""
        values = tuple(ticket[name] for name in _FIELDS)
        with self._lock, self._db:
            added = self._db.execute(
                "INSERT INTO ticket (key, id, title, body, email) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (key, *values),
            ).rowcount
            if added:
                return HTTPStatus.CREATED
            row = self._db.execute(
                "SELECT id, title, body, email FROM ticket WHERE key = ?", (key,)
            ).fetchone()
        return HTTPStatus.OK if row == values else HTTPStatus.CONFLICT

    def all(self) -> list[dict[str, str]]:
        with self._lock:
            rows = self._db.execute("SELECT id, title, body, email FROM ticket ORDER BY number").fetchall()
        return [dict(zip(_FIELDS, row, strict=True)) for row in rows]

    def close(self) -> None:
        with self._lock:
            self._db.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, store: _Store) -> None:
        self.store = store
        super().__init__((_HOST, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # only `_Server` makes handlers
    timeout = _TIMEOUT_SECONDS

    def do_GET(self) -> None:
        if self.path != "/tickets":
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "only /tickets is here"})
        return self._answer(HTTPStatus.OK, self.server.store.all())

    def do_POST(self) -> None:
        if self.path != "/tickets":
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "only /tickets is here"})
        key = self.headers.get("Idempotency-Key")
        if not key:
            return self._answer(HTTPStatus.BAD_REQUEST, {"error": "the Idempotency-Key header is missing"})
        try:
            ticket = self._ticket()
        except ValueError as error:
            return self._answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        status = self.server.store.add(key, ticket)
        if status is HTTPStatus.CONFLICT:
            return self._answer(status, {"error": f"key {key!r} or id {ticket['id']!r} is another ticket's"})
        return self._answer(status, ticket)

    def _ticket(self) -> dict[str, str]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MAX_BODY_BYTES:
            raise ValueError(f"Content-Length must be given and at most {_MAX_BODY_BYTES}")
        ticket: Any = json.loads(self.rfile.read(int(length)))
        if not isinstance(ticket, dict) or any(not isinstance(ticket.get(name), str) for name in _FIELDS):
            raise ValueError(f"a ticket is an object with the strings {', '.join(_FIELDS)}")
        return {name: ticket[name] for name in _FIELDS}

    def _answer(self, status: HTTPStatus, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the desk runs beside a demo's own output."""


class TicketDesk:
    """The ticket desk on loopback, in a thread of this process. `port` 0 takes a free one."""

    def __init__(self, database: Path, *, port: int = 0) -> None:
        self._store = _Store(database)
        try:
            self._server = _Server(port, self._store)
        except OSError:
            self._store.close()
            raise
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="ticket-desk", daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.port}"

    def tickets(self) -> list[dict[str, str]]:
        """Every ticket, oldest first, as `id`, `title`, `body` and `email`."""
        return self._store.all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._store.close()


def main() -> None:
    """Run the ticket desk until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m support.tickets", description=__doc__)
    parser.add_argument("--port", type=int, default=8026)
    parser.add_argument("--db", type=Path, default=Path(".support/tickets.sqlite"))
    options = parser.parse_args()
    options.db.parent.mkdir(parents=True, exist_ok=True)
    try:
        desk = TicketDesk(options.db, port=options.port)
    except OSError as error:
        raise SystemExit(
            f"cannot listen on {_HOST}:{options.port} ({error.strerror}); choose another --port"
        ) from error
    with desk:
        print(f"ticket desk on {desk.url}, tickets in {options.db}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
