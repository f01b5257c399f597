"""The services of the purchase agent, over real HTTP: idempotency, faults, the audit, and a SIGKILL."""

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from purchase.clients import Inventory, Payments, Shipping, Shop, connect
from purchase.contract import Charge, Refund, Reservation, Shipment, Stock
from purchase.services.database import Product, open_database
from purchase.services.faults import Fault, Faults, Kind
from purchase.services.invariants import violations
from purchase.services.ledger import Ledger, read_ledger
from purchase.services.server import PurchaseServices

EXAMPLES = Path(__file__).parents[2] / "examples"
LAMP = Product("lamp", 4900, 10)
BEFORE: list[Kind] = ["unavailable", "timeout_before", "reset_before"]
AFTER: list[Kind] = ["timeout_after", "reset_after", "malformed"]


def plain_http(*, read_seconds: float = 20) -> httpx.AsyncClient:
    # Without TLS, whose certificates take long to read.
    timeout = httpx.Timeout(20, read=read_seconds)
    return httpx.AsyncClient(trust_env=False, verify=False, timeout=timeout)


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[PurchaseServices]:
    async with PurchaseServices(tmp_path / "data", products=(LAMP,), seed=1) as services:
        yield services


@pytest.fixture
async def shop(services: PurchaseServices) -> AsyncIterator[Shop]:
    async with connect(services.env, timeout=timedelta(seconds=20)) as shop:
        yield shop


@pytest.fixture
async def impatient(services: PurchaseServices) -> AsyncIterator[Shop]:
    """Hangs up on a service that does not answer."""
    async with plain_http(read_seconds=0.3) as http:
        urls = services.urls
        yield Shop(
            Inventory(http, urls["inventory"]),
            Payments(http, urls["payments"]),
            Shipping(http, urls["shipping"]),
        )


async def buy(shop: Shop, name: str) -> tuple[Reservation, Charge, Shipment]:
    reservation = await shop.inventory.reserve("lamp", 2, key=f"{name}/reserve")
    charge = await shop.payments.charge(
        "tok_visa", reservation.amount, reservation.currency, reservation=reservation.id, key=f"{name}/charge"
    )
    return reservation, charge, await shop.shipping.ship(reservation.id, "Kai 1, Bremen", key=f"{name}/ship")


Post = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def post(services: PurchaseServices) -> AsyncIterator[Post]:
    async with plain_http() as http:

        async def send(
            path: str, body: object = None, *, key: str = "k", content: bytes | None = None
        ) -> httpx.Response:
            service, operation = path.split("/")
            return await http.post(
                f"{services.urls[service]}/{operation}",
                content=json.dumps(body) if content is None else content,
                headers={"Idempotency-Key": key} if key else {},
            )

        yield send


async def refused(call: Awaitable[object]) -> tuple[int, str]:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await call
    return caught.value.response.status_code, caught.value.response.json()["error"]


async def wait_for(seen: Callable[[], object]) -> None:
    while not seen():  # noqa: ASYNC110  # another process changes it
        await asyncio.sleep(0.02)


def outcome(ledger: Ledger) -> list[tuple[str, int | None, str | None]]:
    return [(request.operation, request.status, request.fault) for request in ledger.requests]


async def test_a_purchase_moves_goods_and_money(services: PurchaseServices, shop: Shop) -> None:
    reservation, charge, shipment = await buy(shop, "a")
    assert (reservation.sku, reservation.quantity, reservation.amount) == ("lamp", 2, 9800)
    assert (charge.reservation, charge.amount, charge.currency) == (reservation.id, 9800, "EUR")
    assert shipment.reservation == reservation.id
    assert await shop.inventory.stock("lamp") == Stock("lamp", 8, 0, 2, 4900, "EUR")
    assert violations(services.ledger()) == []


async def test_undoing_a_purchase_puts_everything_back(services: PurchaseServices, shop: Shop) -> None:
    reservation, charge, shipment = await buy(shop, "a")
    await shop.shipping.cancel(shipment.id, key="a/cancel")
    assert await shop.inventory.stock("lamp") == Stock("lamp", 8, 2, 0, 4900, "EUR")
    refund = await shop.payments.refund(charge.id, key="a/refund")
    assert (refund.charge, refund.amount, refund.currency) == (charge.id, 9800, "EUR")
    await shop.inventory.release(reservation.id, key="a/release")
    assert await shop.inventory.stock("lamp") == Stock("lamp", 10, 0, 0, 4900, "EUR")
    ledger = services.ledger()
    assert violations(ledger) == []
    operations = ["reserve", "charge", "ship", "cancel", "refund", "release"]
    assert [effect.operation for effect in ledger.effects] == operations
    assert [ledger.applied(operation) for operation in operations] == [1] * 6


async def test_what_a_key_has_done_can_be_asked(shop: Shop) -> None:
    assert await shop.payments.charge_by_key("a/charge") is None
    reservation, charge, shipment = await buy(shop, "a")
    refund = await shop.payments.refund(charge.id, amount=1, key="50% off?")
    assert await shop.inventory.reservation_by_key("a/reserve") == reservation
    assert await shop.payments.charge_by_key("a/charge") == charge
    assert await shop.payments.refund_by_key("50% off?") == refund == Refund(refund.id, charge.id, 1, "EUR")
    assert await shop.shipping.shipment_by_key("a/ship") == shipment
    assert await shop.shipping.shipment_by_key("a/charge") is None


async def test_refusals_say_why_and_change_nothing(services: PurchaseServices, shop: Shop) -> None:
    reservation, charge, shipment = await buy(shop, "a")
    before = services.ledger().effects
    assert await refused(shop.inventory.reserve("lamp", 9, key="1")) == (422, "out_of_stock")
    assert await refused(shop.inventory.reserve("sofa", 1, key="2")) == (404, "no_such_product")
    assert await refused(shop.inventory.stock("sofa")) == (404, "no_such_product")
    assert await refused(shop.inventory.release(reservation.id, key="3")) == (409, "shipped")
    declined = shop.payments.charge("tok_declined", 1, "EUR", reservation="r", key="4")
    assert await refused(declined) == (402, "card_declined")
    assert await refused(shop.payments.refund("ch_none", key="5")) == (404, "no_such_charge")
    assert await refused(shop.shipping.ship(reservation.id, "Kai 1", key="6")) == (422, "not_held")
    assert services.ledger().effects == before
    await shop.shipping.cancel(shipment.id, key="7")
    assert await refused(shop.shipping.cancel(shipment.id, key="8")) == (422, "cancelled_already")
    assert charge.amount == 9800


async def test_more_than_was_charged_is_never_given_back(shop: Shop) -> None:
    _, charge, _ = await buy(shop, "a")
    too_much = (422, "refund_too_large")
    assert await refused(shop.payments.refund(charge.id, amount=9801, key="1")) == too_much
    await shop.payments.refund(charge.id, amount=9000, key="2")
    assert await refused(shop.payments.refund(charge.id, amount=801, key="3")) == too_much
    assert (await shop.payments.refund(charge.id, key="4")).amount == 800
    assert await refused(shop.payments.refund(charge.id, key="5")) == too_much


async def test_a_body_that_is_wrong_is_a_bad_request(services: PurchaseServices, post: Post) -> None:
    charge = {"card": "t", "amount": 5, "currency": "EUR", "reservation": "r"}
    for path, body in [
        ("inventory/reserve", {"sku": "lamp", "quantity": 0}),
        ("inventory/reserve", {"sku": "lamp", "quantity": True}),
        ("inventory/reserve", {"sku": "lamp", "quantity": "2"}),
        ("inventory/reserve", ["lamp"]),
        ("inventory/release", {}),
        ("payments/charge", {**charge, "amount": -5}),
        ("payments/charge", {**charge, "currency": "euro"}),
        ("payments/charge", {**charge, "card": 4}),
        ("shipping/ship", {"reservation": "r", "address": " "}),
    ]:
        response = await post(path, body)
        assert (response.status_code, response.json()["error"]) == (400, "bad_request"), body
    assert services.ledger().effects == ()


async def test_a_request_without_key_or_with_broken_json_is_a_bad_request(
    services: PurchaseServices, post: Post
) -> None:
    body = {"sku": "lamp", "quantity": 1}
    for key in ("", "x" * 256):
        assert (await post("inventory/reserve", body, key=key)).json()["error"] == "bad_key"
    assert (await post("inventory/reserve", content=b"{")).status_code == 400
    # None of it used the key up.
    assert (await post("inventory/reserve", body)).status_code == 201


async def test_the_same_key_gets_the_first_answer_again(services: PurchaseServices, post: Post) -> None:
    first = await post("inventory/reserve", {"sku": "lamp", "quantity": 1})
    second = await post("inventory/reserve", {"quantity": 1, "sku": "lamp"})
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert "Idempotent-Replay" not in first.headers
    assert second.headers["Idempotent-Replay"] == "true"
    assert [request.replayed for request in services.ledger().requests] == [False, True]
    assert services.ledger().applied("reserve") == 1


async def test_a_refusal_is_the_keys_answer_too(services: PurchaseServices, post: Post) -> None:
    body = {"card": "tok_declined", "amount": 1, "currency": "EUR", "reservation": "r"}
    assert (await post("payments/charge", body)).status_code == 402
    again = await post("payments/charge", body)
    assert (again.status_code, again.headers["Idempotent-Replay"]) == (402, "true")
    async with connect(services.env) as shop:
        assert await shop.payments.charge_by_key("k") is None


async def test_what_is_unknown_now_may_come_later(services: PurchaseServices, shop: Shop) -> None:
    known = await shop.inventory.reserve("lamp", 1, key="a")
    assert await refused(shop.payments.refund("ch_0", key="r")) == (404, "no_such_charge")
    with closing(open_database(services.database)) as db:
        db.execute("INSERT INTO charge VALUES ('ch_0', ?, 5, 'EUR', 0)", (known.id,))
    assert (await shop.payments.refund("ch_0", key="r")).amount == 5


async def test_a_key_belongs_to_one_request(services: PurchaseServices, post: Post) -> None:
    await post("inventory/reserve", {"sku": "lamp", "quantity": 1})
    for path, body in [
        ("inventory/reserve", {"sku": "lamp", "quantity": 2}),
        ("inventory/release", {"reservation": "res"}),
    ]:
        response = await post(path, body)
        assert (response.status_code, response.json()["error"]) == (422, "key_reused")
    # Another service has keys of its own.
    charge = {"card": "t", "amount": 1, "currency": "EUR", "reservation": "r"}
    assert (await post("payments/charge", charge)).status_code == 201


async def test_a_key_that_is_under_way_is_a_conflict(services: PurchaseServices, shop: Shop) -> None:
    services.faults.add(Fault("slow", "inventory", "reserve", delay_ms=60_000))
    first = asyncio.create_task(shop.inventory.reserve("lamp", 1, key="k"))
    await wait_for(lambda: services.ledger().requests)
    under_way = (409, "key_under_way")
    assert await refused(shop.inventory.reserve("lamp", 1, key="k")) == under_way
    assert await refused(shop.inventory.reservation_by_key("k")) == under_way
    assert await shop.inventory.reservation_by_key("other") is None
    assert services.ledger().effects == ()
    first.cancel()


async def test_many_at_once_with_one_key_have_one_effect(services: PurchaseServices, post: Post) -> None:
    body = {"sku": "lamp", "quantity": 1}
    answers = await asyncio.gather(*(post("inventory/reserve", body) for _ in range(10)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    assert services.ledger().applied("reserve") == 1


async def attempt(kind: Kind, shop: Shop) -> None:
    expected: dict[Kind, type[httpx.HTTPError]] = {
        "unavailable": httpx.HTTPStatusError,
        "timeout_before": httpx.ReadTimeout,
        "timeout_after": httpx.ReadTimeout,
        "reset_before": httpx.ReadError,
        "reset_after": httpx.ReadError,
        "malformed": httpx.DecodingError,
    }
    with pytest.raises(expected[kind]):
        await shop.inventory.reserve("lamp", 1, key="k")


@pytest.mark.parametrize("kind", [*BEFORE, *AFTER])
async def test_a_fault_loses_the_answer_before_or_after_the_effect(
    services: PurchaseServices, shop: Shop, impatient: Shop, kind: Kind
) -> None:
    services.faults.add(Fault(kind, "inventory", "reserve", times=2))
    patience = impatient if kind.startswith("timeout") else shop
    for n in (1, 2):
        await attempt(kind, patience)
        await wait_for(lambda n=n: sum(request.fault == kind for request in services.ledger().requests) == n)
    happened = kind in AFTER
    assert services.ledger().applied("reserve") == int(happened)
    assert (await shop.inventory.reservation_by_key("k") is not None) == happened
    await shop.inventory.reserve("lamp", 1, key="k")
    ledger = services.ledger()
    assert ledger.applied("reserve") == 1
    status = {"unavailable": 503}.get(kind, 201 if happened else None)
    writes = [done for done in outcome(ledger) if done[0] == "reserve"]
    assert writes == [("reserve", status, kind)] * 2 + [("reserve", 201, None)]
    assert services.faults.on() == []


async def test_a_caller_who_hangs_up_on_a_slow_service_does_not_stop_it(
    services: PurchaseServices, shop: Shop, impatient: Shop
) -> None:
    services.faults.add(Fault("slow", "inventory", delay_ms=1000))
    with pytest.raises(httpx.ReadTimeout):
        await impatient.inventory.reserve("lamp", 1, key="k")
    await wait_for(lambda: services.ledger().applied("reserve"))
    assert (await shop.inventory.reserve("lamp", 1, key="k")).quantity == 1
    assert services.ledger().applied("reserve") == 1


@pytest.mark.parametrize("status", [402, 422])
async def test_a_rejection_is_final_for_its_key(services: PurchaseServices, shop: Shop, status: int) -> None:
    reservation = await shop.inventory.reserve("lamp", 1, key="a")
    services.faults.add(Fault("reject", "shipping", "ship", status=status, reason="no van today"))
    for _ in range(2):
        with pytest.raises(httpx.HTTPStatusError, match=f"answered {status}.*no van today"):
            await shop.shipping.ship(reservation.id, "Kai 1", key="b")
    await shop.shipping.ship(reservation.id, "Kai 1", key="c")


async def test_a_rejection_as_conflict_may_be_tried_again(services: PurchaseServices, shop: Shop) -> None:
    services.faults.add(Fault("reject", "inventory", status=409, reason="stocktaking"))
    assert await refused(shop.inventory.reserve("lamp", 1, key="k")) == (409, "rejected")
    await shop.inventory.reserve("lamp", 1, key="k")


async def test_a_rejection_leaves_alone_what_has_happened(services: PurchaseServices, shop: Shop) -> None:
    reservation = await shop.inventory.reserve("lamp", 1, key="k")
    services.faults.add(Fault("reject", "inventory", "reserve"))
    assert await shop.inventory.reserve("lamp", 1, key="k") == reservation
    assert len(services.faults.on()) == 1


async def test_refunds_can_fail_for_ever(services: PurchaseServices, shop: Shop) -> None:
    _, charge, _ = await buy(shop, "a")
    services.faults.add(Fault("unavailable", "payments", "refund", times=None))
    for _ in range(4):
        assert await refused(shop.payments.refund(charge.id, key="k")) == (503, "unavailable")
    services.faults.clear()
    await shop.payments.refund(charge.id, key="k")


async def test_reading_can_fail_too(services: PurchaseServices, shop: Shop) -> None:
    await buy(shop, "a")
    services.faults.add(Fault("reject", "inventory", "stock"), Fault("malformed", "payments", "by_key"))
    assert await refused(shop.inventory.stock("lamp")) == (422, "rejected")
    with pytest.raises(httpx.DecodingError):
        await shop.payments.charge_by_key("a/charge")
    assert (await shop.inventory.stock("lamp")).available == 8


async def test_faults_are_switched_over_http(services: PurchaseServices, shop: Shop) -> None:
    url = f"{services.urls['payments']}/faults"
    async with plain_http() as http:
        added = await http.post(url, json={"kind": "unavailable", "operation": "charge", "times": None})
        assert added.json()["faults"] == (await http.get(url)).json()["faults"]
        assert services.faults.on() == [Fault("unavailable", "payments", "charge", times=None)]
        assert (await http.get(f"{services.urls['shipping']}/faults")).json() == {"faults": []}
        charge = shop.payments.charge("tok_visa", 1, "EUR", reservation="r", key="k")
        assert (await refused(charge))[0] == 503
        for wrong in ([], {"kind": "boom"}, {"kind": "slow", "often": 1}, {"kind": "slow", "times": "x"}, {}):
            assert (await http.post(url, json=wrong)).status_code == 400
        assert (await http.delete(url)).json() == {"faults": []}
        audit = (await http.get(f"{services.urls['payments']}/audit")).json()
    assert [request["fault"] for request in audit["requests"]] == ["unavailable"]
    assert audit["effects"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "explode"},
        {"kind": "slow", "service": "stock"},
        {"kind": "slow", "service": "payments", "operation": "ship"},
        {"kind": "reject", "status": 500},
        {"kind": "slow", "times": 0},
        {"kind": "slow", "probability": 1.5},
        {"kind": "slow", "delay_ms": -1},
    ],
)
def test_a_fault_that_could_never_fire_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give"):
        Fault(**wrong)


def firing(db: sqlite3.Connection, seed: int) -> list[str | None]:
    faults = Faults(db, seed=seed)
    drawn = [
        faults.draw("payments", "charge", f"key{n}", attempt=a, answered=False)
        for n in range(100)
        for a in (1, 2)
    ]
    return [fault and fault.kind for fault in drawn]


def test_random_faults_depend_on_the_seed_alone(tmp_path: Path) -> None:
    with closing(open_database(tmp_path / "db")) as db:
        Faults(db).add_random({"unavailable": 0.2, "reset_after": 0.2})
        first, again, other = firing(db, 7), firing(db, 7), firing(db, 8)
    assert first == again != other
    assert set(first) == {"unavailable", "reset_after", None}
    assert 100 < first.count(None) < 156  # 128 are expected


T = TypeVar("T")


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Send the same again until an answer comes."""
    while True:
        try:
            return await call()
        except (httpx.TransportError, httpx.DecodingError):
            pass
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in (409, 503):
                raise


async def test_who_insists_with_one_key_has_one_effect_under_any_faults(
    services: PurchaseServices, shop: Shop
) -> None:
    random: dict[Kind, float] = dict.fromkeys(
        ("unavailable", "reset_before", "reset_after", "malformed"), 0.15
    )
    services.faults.add_random({**random, "slow": 0.1}, delay_ms=5)

    async def order(name: str) -> None:
        reservation = await insist(lambda: shop.inventory.reserve("lamp", 1, key=f"{name}/reserve"))
        charge = await insist(
            lambda: shop.payments.charge("tok", 4900, "EUR", reservation=reservation.id, key=f"{name}/charge")
        )
        if name in ("1", "3"):
            await insist(lambda: shop.payments.refund(charge.id, key=f"{name}/refund"))
            await insist(lambda: shop.inventory.release(reservation.id, key=f"{name}/release"))
        else:
            await insist(lambda: shop.shipping.ship(reservation.id, "Kai 1", key=f"{name}/ship"))

    await asyncio.gather(*(order(str(n)) for n in range(6)))
    ledger = services.ledger()
    assert violations(ledger) == []
    assert (ledger.applied("ship"), ledger.applied("release")) == (4, 2)
    assert sum(request.fault is not None for request in ledger.requests) > 5


PLANTED: list[tuple[str, str]] = [
    ("UPDATE product SET available = 9", r"9 in stock \+ 0 reserved \+ 2 shipped = 11, not 10"),
    ("UPDATE reservation SET state = 'held'", "2 reserved and 0 shipped in the books, 0 and 2 by the audit"),
    (
        "DELETE FROM effect WHERE operation = 'charge'",
        "0 charged - 0 refunded = 0 EUR, but 2 shipped .* 9800",
    ),
    ("UPDATE effect SET amount = 9799 WHERE amount", "9799 charged - 0 refunded = 9799 EUR"),
    ("UPDATE effect SET currency = 'USD' WHERE amount", "9800 charged - 0 refunded = 9800 USD"),
    ("DELETE FROM effect WHERE operation = 'ship'", "still holds 2 of 'lamp'"),
    (
        "INSERT INTO effect SELECT 99, request, at, service, operation, key, subject, reservation, sku, quantity,"
        " amount, currency FROM effect WHERE operation = 'charge'",
        "payments: the key 'a/charge' was applied 2 times",
    ),
    (
        "INSERT INTO effect SELECT 99, request, at, service, operation, 'other', subject, reservation, sku, quantity,"
        " amount, currency FROM effect WHERE operation = 'ship'",
        "-2 reserved and 4 shipped by the audit",
    ),
    (
        "INSERT INTO effect SELECT 99, request, at, service, operation, 'other', 'ch_1', 'lost', sku, quantity,"
        " amount, currency FROM effect WHERE operation = 'charge'",
        "'lost': 9800 charged - 0 refunded = 9800 EUR, but 0 shipped are worth 0",
    ),
]


async def test_a_planted_violation_is_found(services: PurchaseServices, shop: Shop, tmp_path: Path) -> None:
    await buy(shop, "a")
    assert violations(services.ledger()) == []
    for number, (statement, words) in enumerate(PLANTED):
        copy = tmp_path / f"{number}.sqlite"
        with closing(open_database(services.database)) as db, closing(open_database(copy)) as other:
            db.backup(other)
            other.execute(statement)
        found = violations(read_ledger(copy))
        assert any(re.search(words, line) for line in found), (statement, found)


async def test_an_order_that_never_ended_is_found(services: PurchaseServices, shop: Shop) -> None:
    reservation = await shop.inventory.reserve("lamp", 3, key="k")
    assert violations(services.ledger()) == [f"reservation {reservation.id!r} still holds 3 of 'lamp'"]


def test_a_ledger_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        read_ledger(tmp_path / "none.sqlite")


async def test_a_port_in_use_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        services = PurchaseServices(tmp_path, ports={"shipping": taken.getsockname()[1]})
        with pytest.raises(OSError, match="in use"):
            await services.__aenter__()
    async with plain_http() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(services.urls["inventory"])


@contextmanager
def services_process(data_dir: Path, *args: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    command = [sys.executable, "-m", "purchase.services", "--data-dir", str(data_dir), *args]
    with subprocess.Popen(
        command, cwd=EXAMPLES, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


async def test_a_killed_process_loses_nothing_and_blocks_no_key(tmp_path: Path) -> None:
    held = '{"kind": "timeout_after", "service": "payments", "operation": "charge"}'
    slow = '{"kind": "slow", "service": "shipping", "operation": "ship", "delay_ms": 60000}'
    with services_process(tmp_path, "--seed", "5", "--fault", held, "--fault", slow) as (process, ready):
        assert ready["seed"] == 5
        database = Path(ready["database"])
        async with connect(ready["env"], timeout=timedelta(seconds=30)) as shop:
            reservation = await shop.inventory.reserve("lamp", 1, key="reserve")
            charging = asyncio.create_task(
                shop.payments.charge("tok_visa", 4900, "EUR", reservation=reservation.id, key="charge")
            )
            await wait_for(lambda: read_ledger(database).applied("charge"))
            shipping = asyncio.create_task(shop.shipping.ship(reservation.id, "Kai 1", key="ship"))
            await wait_for(lambda: read_ledger(database).requests[-1].operation == "ship")
            os.kill(process.pid, signal.SIGKILL)
            lost = await asyncio.gather(charging, shipping, return_exceptions=True)
        assert all(isinstance(error, httpx.TransportError) for error in lost)
    before = read_ledger(database)
    assert [before.applied(operation) for operation in ("reserve", "charge", "ship")] == [1, 1, 0]
    with services_process(tmp_path) as (_, ready):
        async with connect(ready["env"], timeout=timedelta(seconds=30)) as shop:
            assert await shop.inventory.reserve("lamp", 1, key="reserve") == reservation
            again = await shop.payments.charge(
                "tok_visa", 4900, "EUR", reservation=reservation.id, key="charge"
            )
            assert again == await shop.payments.charge_by_key("charge")
            await shop.shipping.ship(reservation.id, "Kai 1", key="ship")
    after = read_ledger(database)
    assert after.effects[:2] == before.effects
    assert [after.applied(operation) for operation in ("reserve", "charge", "ship")] == [1, 1, 1]
    assert violations(after) == []


@pytest.mark.parametrize("end", ["stdin", "SIGTERM"])
def test_the_services_process_ends_when_told(tmp_path: Path, end: str) -> None:
    with services_process(tmp_path) as (process, ready):
        assert process.stdin
        assert process.stderr
        # A caller that waits for an answer holds nothing up.
        with closing(open_database(Path(ready["database"]))) as db:
            Faults(db).add(Fault("timeout_before", "inventory"))
        with socket.create_connection(
            ("127.0.0.1", int(ready["urls"]["inventory"].rsplit(":")[-1]))
        ) as caller:
            caller.sendall(b"GET /stock HTTP/1.1\r\nHost: inventory\r\n\r\n")
            while not read_ledger(Path(ready["database"])).requests:
                time.sleep(0.02)
            if end == "stdin":
                process.stdin.close()
            else:
                process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        assert process.stderr.read() == b""
