"""The key of an effect goes out with its requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from perdure import current_effect, effect
from perdure.idempotency import HEADER, add_key, add_key_async


@pytest.fixture
def url() -> Iterator[str]:
    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = (self.headers.get(HEADER) or "none").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_requests_that_write_carry_the_key_of_their_effect(url: str) -> None:
    @effect
    async def act() -> tuple[str, str, str, str]:
        async with httpx.AsyncClient(event_hooks={"request": [add_key_async]}) as client:
            own = await client.post(url, headers={HEADER: "mine"})
            return (
                current_effect().key,
                (await client.post(url)).text,
                (await client.get(url)).text,
                own.text,
            )

    key, posted, got, own = await act()
    assert (posted, got, own) == (key, "none", "mine")


def test_a_sync_client_does_so_too_and_outside_an_effect_nothing_is_added(url: str) -> None:
    @effect
    def act(client: httpx.Client) -> tuple[str, str]:
        return current_effect().key, client.post(url).text

    with httpx.Client(event_hooks={"request": [add_key]}) as client:
        key, posted = act(client)
        assert key == posted
        assert client.post(url).text == "none"
