"""One service as an ASGI application: idempotency and faults around its operations.

    POST   /{operation}    with `Idempotency-Key`; see `inventory`, `payments`, `shipping`
    GET    /by-key/{key}   what the key has done, as its first answer's body; 404 nothing, 409 still under way
    GET    /audit          the service's effects and requests
    GET    /faults         the faults that are on;  POST adds one, DELETE clears them (see `faults`)

| a key comes again       | answer                                                            |
|-------------------------|-------------------------------------------------------------------|
| same operation and body | the first answer, with `Idempotent-Replay: true`; refusals, too    |
| anything else with it   | 422 key_reused                                                    |
| the first is under way  | 409 key_under_way                                                 |

What is under way is known to this process alone, so that no key is blocked when it dies.
"""

import asyncio
import hashlib
import json
import socket
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from purchase.services.audit import Audit
from purchase.services.call import Answer, Call, Refusal
from purchase.services.faults import Fault, Faults
from purchase.services.operations import SERVICES

__all__ = ["service_app"]

_MAX_KEY = 255


def service_app(service: str, db: sqlite3.Connection, faults: Faults) -> Starlette:
    """The application of one service.

    `request.state.transport` must be the connection's transport (see `server`), for resets.
    """
    endpoint = _Service(service, db, faults)
    app = Starlette()
    app.add_route("/faults", endpoint.faults, methods=["GET", "POST", "DELETE"])
    app.add_route("/audit", endpoint.audit, methods=["GET"])
    app.add_route("/by-key/{key:path}", endpoint.by_key, methods=["GET"])
    for name in SERVICES[service].writes:
        app.add_route(f"/{name}", partial(endpoint.write, name), methods=["POST"])
    for name in SERVICES[service].reads:
        for path in (f"/{name}", f"/{name}/{{argument:path}}"):
            app.add_route(path, partial(endpoint.read, name), methods=["GET"])
    return app


class _Service:
    def __init__(self, name: str, db: sqlite3.Connection, faults: Faults) -> None:
        self._name = name
        self._db = db
        self._faults = faults
        self._audit = Audit(db, name)
        self._under_way: set[str] = set()

    async def write(self, operation: str, request: Request) -> Response:
        key, content = request.headers.get("Idempotency-Key", ""), await request.body()
        number, attempt = self._audit.arrived(operation, key)
        if not 0 < len(key) <= _MAX_KEY:
            reason = f"send an Idempotency-Key of 1 to {_MAX_KEY} characters"
            return self._send(number, Refusal(400, "bad_key", reason).answer)
        if key in self._under_way:
            return self._send(number, _under_way(key).answer)
        answered = self._audit.has_answer(key)
        fault = self._faults.draw(self._name, operation, key, attempt=attempt, answered=answered)

        def decide() -> Answer:
            call = Call(self._db, key, _body(content))
            digest = hashlib.sha256(json.dumps(call.body, sort_keys=True).encode()).hexdigest()
            act = SERVICES[self._name].writes[operation]
            return self._audit.apply(number, operation, call, digest, _rejecting(fault) or act)

        self._under_way.add(key)
        try:
            return await self._answer(number, fault, decide)
        finally:
            self._under_way.discard(key)

    async def read(self, operation: str, request: Request) -> Response:
        argument = request.path_params.get("argument", "")
        act = SERVICES[self._name].reads[operation]
        return await self._read(operation, argument, lambda: act(self._db, argument))

    async def by_key(self, request: Request) -> Response:
        key = request.path_params["key"]

        def look() -> Answer:
            if key in self._under_way:
                raise _under_way(key)
            return self._audit.effect_of(key)

        return await self._read("by_key", key, look)

    async def audit(self, _: Request) -> Response:
        def rows(table: str) -> list[dict[str, Any]]:
            select = f"SELECT * FROM {table} WHERE service = ? ORDER BY number"
            return [dict(row) for row in self._db.execute(select, (self._name,))]

        return JSONResponse({"effects": rows("effect"), "requests": rows("request")})

    async def faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._faults.clear(self._name)
        elif request.method == "POST":
            try:
                self._faults.add(Fault.from_json({**_body(await request.body()), "service": self._name}))
            except (ValueError, Refusal) as error:
                return JSONResponse(Refusal(400, "bad_fault", str(error)).answer.body, 400)
        return JSONResponse({"faults": [asdict(fault) for fault in self._faults.on(self._name)]})

    async def _read(self, operation: str, argument: str, look: Callable[[], Answer]) -> Response:
        number, attempt = self._audit.arrived(operation, argument)
        fault = self._faults.draw(self._name, operation, argument, attempt=attempt, answered=False)
        reject = _rejecting(fault)
        return await self._answer(number, fault, partial(reject, None) if reject else look)

    async def _answer(self, number: int, fault: Fault | None, decide: Callable[[], Answer]) -> Response:
        kind = fault and fault.kind
        if kind == "unavailable":
            return self._send(number, Refusal(503, "unavailable", "try again later").answer, fault)
        if kind in ("timeout_before", "reset_before"):
            return self._send(number, None, fault)
        if fault and kind == "slow":
            await asyncio.sleep(fault.delay_ms / 1000)
        try:
            answer = decide()
        except Refusal as refusal:
            answer = refusal.answer
        return self._send(number, answer, fault)

    def _send(self, number: int, answer: Answer | None, fault: Fault | None = None) -> Response:
        kind = fault and fault.kind
        self._audit.decided(number, answer, kind)
        if answer is None or kind in ("timeout_after", "reset_after"):
            return _NoAnswer(hold=kind in ("timeout_before", "timeout_after"))
        if kind == "malformed":
            half = json.dumps(answer.body)[:-2]
            return Response(half, answer.status, media_type="application/json")
        headers = {"Idempotent-Replay": "true"} if answer.replayed else None
        return JSONResponse(answer.body, answer.status, headers)


class _NoAnswer(Response):
    """Never answers: resets the connection or, with `hold`, waits until the caller hangs up."""

    def __init__(self, *, hold: bool) -> None:
        super().__init__()
        self._hold = hold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._hold:
            transport: asyncio.Transport = scope["state"]["transport"]
            # No lingering: the caller gets a reset (RST), as from a process that died.
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def _body(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError as error:
        raise Refusal(400, "bad_request", f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refusal(400, "bad_request", f"the body must be a JSON object, not {body!r}")
    return body


def _under_way(key: str) -> Refusal:
    return Refusal(409, "key_under_way", f"the first request with the key {key!r} is still under way")


def _rejecting(fault: Fault | None) -> Callable[[object], NoReturn] | None:
    if fault is None or fault.kind != "reject":
        return None
    refusal = Refusal(fault.status, "rejected", fault.reason)

    def act(_: object) -> NoReturn:
        raise refusal

    return act
